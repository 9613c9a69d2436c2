// What this machine allows a test to do.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Runs a command to its end; false when it fails or is not installed. */
export function runs(...command: string[]): boolean {
  try {
    return Bun.spawnSync(command, { stderr: "ignore" }).success;
  } catch {
    return false;
  }
}

/** Whether a small file system in memory can be mounted, as root can on most machines. */
export async function canMountHere(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), "condarium-mount-"));
  const isMounted = runs("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder);
  if (isMounted) runs("umount", folder);
  await rm(folder, { recursive: true, force: true });
  return isMounted;
}
