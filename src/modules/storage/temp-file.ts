// Writes a file under a name that nobody can guess.

import { constants } from "node:fs";
import { open, rm, type FileHandle } from "node:fs/promises";
import { randomHex } from "../ids.ts";
import { orNoSpace } from "./disk-errors.ts";

export type TempFile = {
  readonly path: string;
  readonly size: number;
  append(chunk: Uint8Array): Promise<void>;
  /** Makes the bytes durable and ends the writing. After a failed fsync the file cannot be used any more. */
  sync(): Promise<void>;
  /** Ends the writing without waiting for the disk. */
  close(): Promise<void>;
  /** Whether `sync()` has succeeded. */
  readonly isDurable: boolean;
  /** Safe to call twice, and after a failure. */
  remove(): Promise<void>;
};

const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

export function tempName(): string {
  return randomHex(16);
}

/** Errors: `no-space`, also from `append()` and `sync()`. */
export async function createTempFile(path: string): Promise<TempFile> {
  const handle = await open(path, NEW_FILE, 0o600).catch((error: unknown) => {
    throw orNoSpace(error);
  });
  let state: "open" | "durable" | "ended" = "open";
  let size = 0;

  /** A failed step leaves the file unusable. */
  async function step(work: () => Promise<void>, next: typeof state): Promise<void> {
    if (state !== "open") throw new Error(`the temporary file is ${state}`);
    state = "ended";
    try {
      await work();
      state = next;
    } catch (error) {
      await handle.close().catch(() => undefined);
      throw orNoSpace(error);
    }
  }

  return {
    path,
    get size() {
      return size;
    },
    get isDurable() {
      return state === "durable";
    },
    append: (chunk) =>
      step(async () => {
        await writeAll(handle, chunk, size);
        size += chunk.byteLength;
      }, "open"),
    sync: () =>
      step(async () => {
        await handle.sync();
        await handle.close();
      }, "durable"),
    close: () => step(() => handle.close(), "ended"),
    remove: async () => {
      if (state === "open") await handle.close().catch(() => undefined);
      state = "ended";
      // A file that cannot be removed is swept at the next start.
      await rm(path, { force: true }).catch(() => undefined);
    },
  };
}

async function writeAll(handle: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < chunk.byteLength;) {
    const { bytesWritten } = await handle.write(chunk, written, chunk.byteLength - written, position + written);
    if (bytesWritten === 0) throw new Error("the disk accepts no more bytes");
    written += bytesWritten;
  }
}
