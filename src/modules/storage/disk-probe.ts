// Checks whether the disk accepts writes, before an upload fails on it.

import { closeSync, constants, fsync, openSync, unlinkSync, write } from "node:fs";
import { access, mkdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { faultKind, hasCode, type DiskFault } from "./disk-errors.ts";
import { FOLDERS } from "./keys.ts";
import { tempName } from "./temp-file.ts";

export type DiskProbe = {
  /** Bytes that the server's user can write. */
  free(): Promise<number>;
  /** Returns why writes would fail; undefined when they would not. Writes nothing itself. */
  look(): Promise<DiskFault | undefined>;
  /** The same, but writes a few bytes and waits for the disk. */
  write(): Promise<DiskFault | undefined>;
};

export type DiskProbeOptions = {
  readonly root: string;
  /** Files below the root that must be writable if they exist. */
  readonly files: readonly string[];
};

/** A disk with less free space counts as full: a commit and its files need about as much. */
const FULL_BYTES = 1024 ** 2;
const PROBE = new Uint8Array(4096).fill(1);
const [writeTo, syncOf] = [promisify(write), promisify(fsync)];
const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

export function createDiskProbe({ root, files }: DiskProbeOptions): DiskProbe {
  const tmp = join(root, "tmp");
  const paths = [root, tmp, ...[...FOLDERS, "derived", ...files].map((name) => join(root, name))];

  async function free(): Promise<number> {
    const { bavail, bsize } = await statfs(root);
    return bavail * bsize;
  }

  return {
    free,
    look: () =>
      faultOf(async () => {
        const left = await free();
        if (left < FULL_BYTES) throw full(`the disk of ${root} is full: ${left} bytes are free`);
        // Finds what a file system or a mount forbids, even when the server runs as root.
        for (const path of paths) await access(path, constants.W_OK).catch(unlessMissing);
      }),
    write: () =>
      faultOf(async () => {
        // A cleaner of temporary files may have removed the folder.
        await mkdir(tmp, 0o700).catch((error: unknown) => {
          if (!hasCode(error, "EEXIST")) throw error;
        });
        await writeUnlinked(join(tmp, tempName()));
      }),
  };
}

/** Unlinks the file before writing, so that no other process finds it and a crash leaves nothing. */
async function writeUnlinked(path: string): Promise<void> {
  const file = openSync(path, NEW_FILE, 0o600);
  try {
    unlinkSync(path);
    const { bytesWritten } = await writeTo(file, PROBE);
    if (bytesWritten < PROBE.byteLength) throw full(`the disk of ${path} accepts no more bytes`);
    await syncOf(file);
  } finally {
    closeSync(file);
  }
}

async function faultOf(work: () => Promise<void>): Promise<DiskFault | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return { kind: faultKind(error), message: error instanceof Error ? error.message : String(error) };
  }
}

function full(message: string): Error {
  return Object.assign(new Error(message), { code: "ENOSPC" });
}

function unlessMissing(error: unknown): void {
  if (!hasCode(error, "ENOENT")) throw error;
}
