// The target folder of a backup: empty or an earlier backup, private, and used by one backup at a time.

import { chmod, mkdir, open, readdir, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { AppError, conflict, usage } from "../../errors.ts";
import { lockFolder } from "../../models/lock.ts";
import { createTempFile } from "../../modules/storage/temp-file.ts";
import { findManifest, MANIFEST, UNFINISHED, type Manifest } from "./backup-format.ts";

export type BackupTarget = {
  readonly folder: string;
  /** The newest complete backup in the folder. */
  readonly previous: Manifest | undefined;
  /** Whether the last attempt was interrupted, and may have left files that no manifest names. */
  readonly wasInterrupted: boolean;
  /** Writes the manifest durably, which makes this the newest backup. */
  finish(manifest: Manifest): Promise<void>;
  /** Unlocks the folder. */
  release(): void;
};

/** Errors: `usage` when the folder cannot be used, `conflict` while another backup uses it. */
export async function openTarget(path: string, dataFolder: string): Promise<BackupTarget> {
  const folder = await prepare(path, dataFolder);
  const lock = lockTarget(folder);
  try {
    const previous = await findManifest(folder);
    const names = await readdir(folder);
    const wasInterrupted = names.includes(UNFINISHED);
    if (!wasInterrupted) await writeDurably(join(folder, UNFINISHED), "A backup is running, or was interrupted.\n");
    await deleteOtherRows(folder, previous);
    return {
      folder,
      previous,
      wasInterrupted,
      finish: (manifest) => writeDurably(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`),
      release: lock.release,
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Deletes the rows of all backups except this one. */
export async function deleteOtherRows(folder: string, manifest: Manifest | undefined): Promise<void> {
  for (const name of await readdir(join(folder, "rows")).catch(() => [])) {
    if (`rows/${name}` !== manifest?.rows) await rm(join(folder, "rows", name), { recursive: true, force: true });
  }
}

export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function prepare(path: string, dataFolder: string): Promise<string> {
  const requested = resolve(path);
  let folder: string;
  try {
    await mkdir(requested, { recursive: true, mode: 0o700 });
    folder = await realpath(requested);
  } catch (error) {
    throw usage(
      `The folder ${requested} cannot be created: ${error instanceof Error ? error.message : String(error)}.`,
    );
  }
  const data = await realpath(dataFolder);
  if (isWithin(folder, data) || isWithin(data, folder))
    throw usage(`The backup folder and the data folder must not contain each other: use a folder outside of ${data}.`);
  const names = await readdir(folder).catch((error: unknown) => {
    throw usage(`${folder} cannot be read: ${error instanceof Error ? error.message : String(error)}.`);
  });
  const isBackup = names.includes(MANIFEST) || names.includes(UNFINISHED);
  if (names.length > 0 && !isBackup)
    throw usage(`${folder} is not empty and contains no backup: use an empty folder, or that of an earlier backup.`);
  // A backup contains the hashes of passwords and tokens.
  await chmod(folder, 0o700).catch(() => undefined);
  return folder;
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep);
}

function lockTarget(folder: string) {
  try {
    return lockFolder(join(folder, "lock"));
  } catch (error) {
    if (error instanceof AppError) throw conflict(`Another backup is writing to ${folder}. Wait until it has ended.`);
    throw error;
  }
}

/** Writes the complete file atomically: readers see the old text or the new one. */
async function writeDurably(path: string, text: string): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.part`);
  await rm(temporary, { force: true });
  const file = await createTempFile(temporary);
  try {
    await file.append(Buffer.from(text));
    await file.sync();
    await rename(file.path, path);
    await syncFolder(dirname(path));
  } finally {
    await file.remove();
  }
}
