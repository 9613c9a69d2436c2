// A disk that loses its power: an ext4 in a file, shut down by an ioctl that drops everything that was not synced.

import { dlopen, FFIType } from "bun:ffi";
import { closeSync, constants, openSync } from "node:fs";
import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runs } from "../system.ts";

const MIB = 1024 ** 2;
/** EXT4_IOC_SHUTDOWN, and its flag for a shutdown that does not write the journal first. */
const SHUTDOWN = 0x8004587d;
const NO_LOG_FLUSH = 2;

export type CuttableDisk = {
  readonly folder: string;
  /** From here on every write fails. End the programs that use the disk, then call `restart`. */
  cut(): void;
  /** Mounts what has reached the disk. */
  restart(): Promise<void>;
  remove(): Promise<void>;
};

/** Undefined where this process must not mount, or a loop device, mkfs.ext4 or the ioctl is missing. */
export async function createCuttableDisk(mib: number): Promise<CuttableDisk | undefined> {
  const root = await mkdtemp(join(tmpdir(), "condarium-power-"));
  const [image, folder] = [join(root, "image"), join(root, "disk")];
  await mkdir(folder);
  await writeFile(image, "");
  await truncate(image, mib * MIB);
  const isMounted = (): boolean => runs("mount", "-o", "loop", image, folder);
  const remove = async (): Promise<void> => {
    runs("umount", "-l", folder);
    await rm(root, { recursive: true, force: true });
  };
  if (!runs("mkfs.ext4", "-q", image) || !isMounted()) {
    await remove();
    return undefined;
  }
  return {
    folder,
    cut: () => shutDown(folder),
    restart: async () => {
      // The kernel closes the files of a killed process shortly after its parent has heard of its end.
      for (let tries = 0; tries < 100 && !runs("umount", folder); tries++) await Bun.sleep(50);
      if (!isMounted()) throw new Error(`${folder} cannot be mounted again`);
    },
    remove,
  };
}

function shutDown(folder: string): void {
  const { symbols, close } = dlopen("libc.so.6", {
    ioctl: { args: [FFIType.i32, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
  });
  const descriptor = openSync(folder, constants.O_RDONLY);
  try {
    const result = symbols.ioctl(descriptor, SHUTDOWN, new Uint32Array([NO_LOG_FLUSH]));
    if (result !== 0) throw new Error(`${folder} cannot be shut down`);
  } finally {
    closeSync(descriptor);
    close();
  }
}
