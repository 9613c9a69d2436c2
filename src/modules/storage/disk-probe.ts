// Asks a disk whether it takes what the server writes, before somebody's upload has to find out.

import { closeSync, constants, fsync, openSync, unlinkSync, write } from "node:fs";
import { access, mkdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { hasCode } from "./disk-errors.ts";
import { FOLDERS } from "./keys.ts";
import { tempName } from "./temp-file.ts";

export type DiskProbe = {
  /** Bytes that are free for us. */
  free(): Promise<number>;
  /** Why nothing can be written, as the system says it; undefined when it can. Looks only. */
  look(): Promise<string | undefined>;
  /** The same, by writing a little and waiting for the disk. */
  write(): Promise<string | undefined>;
};

export type DiskProbeOptions = {
  readonly root: string;
  /** Files below the root that are written to, if they are there. */
  readonly files: readonly string[];
};

/** A disk with less is full: a commit and the files around it need no more, but hardly less. */
const FULL_BYTES = 1024 ** 2;
const PROBE = new Uint8Array(4096).fill(1);
const [writeTo, syncOf] = [promisify(write), promisify(fsync)];
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

export function createDiskProbe({ root, files }: DiskProbeOptions): DiskProbe {
  const tmp = join(root, "tmp");
  const places = [root, tmp, ...[...FOLDERS, "derived", ...files].map((name) => join(root, name))];

  async function free(): Promise<number> {
    const { bavail, bsize } = await statfs(root);
    return bavail * bsize;
  }

  return {
    free,
    look: () =>
      reasonOf(async () => {
        const left = await free();
        if (left < FULL_BYTES) throw new Error(`the disk of ${root} is full: ${left} bytes are free`);
        // What a file system or a mount forbids; to root it is told as well.
        for (const place of places) await access(place, constants.W_OK).catch(unlessMissing);
      }),
    write: () =>
      reasonOf(async () => {
        // Whoever clears temporary files may have taken the folder along.
        await mkdir(tmp, 0o700).catch((error: unknown) => {
          if (!hasCode(error, "EEXIST")) throw error;
        });
        await writeNameless(join(tmp, tempName()));
      }),
  };
}

/** Nameless at once, so that nobody meets the file and a crash leaves nothing. */
async function writeNameless(path: string): Promise<void> {
  const file = openSync(path, NEW_FILE, 0o600);
  try {
    unlinkSync(path);
    const { bytesWritten } = await writeTo(file, PROBE);
    if (bytesWritten < PROBE.byteLength) throw new Error(`the disk of ${path} takes no more bytes`);
    await syncOf(file);
  } finally {
    closeSync(file);
  }
}

async function reasonOf(work: () => Promise<void>): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function unlessMissing(error: unknown): void {
  if (!hasCode(error, "ENOENT")) throw error;
}
