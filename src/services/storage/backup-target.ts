// The folder that a backup goes into: empty or a backup already, private, and used by one at a time.

import { chmod, mkdir, open, readdir, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { AppError, conflict, usage } from "../../errors.ts";
import { lockFolder } from "../../models/lock.ts";
import { createTempFile } from "../../modules/storage/temp-file.ts";
import { findManifest, MANIFEST, UNFINISHED, type Manifest } from "./backup-format.ts";

export type BackupTarget = {
  readonly folder: string;
  /** The newest whole backup in it. */
  readonly previous: Manifest | undefined;
  /** Whether the last attempt was cut off, and may have left what no manifest names. */
  readonly wasCutOff: boolean;
  /** Makes this the newest backup, durably. */
  finish(manifest: Manifest): Promise<void>;
  /** Lets others use the folder. */
  release(): void;
};

/** Errors: `usage` when the folder cannot be used, `conflict` while another backup goes into it. */
export async function openTarget(path: string, dataFolder: string): Promise<BackupTarget> {
  const folder = await prepare(path, dataFolder);
  const lock = lockTarget(folder);
  try {
    const previous = await findManifest(folder);
    const names = await readdir(folder);
    const wasCutOff = names.includes(UNFINISHED);
    if (!wasCutOff) await writeDurably(join(folder, UNFINISHED), "A backup is being made, or was cut off.\n");
    await keepRows(folder, previous);
    return {
      folder,
      previous,
      wasCutOff,
      finish: (manifest) => writeDurably(join(folder, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`),
      release: lock.release,
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** Removes the rows of all backups but this one. */
export async function keepRows(folder: string, manifest: Manifest | undefined): Promise<void> {
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
  const wanted = resolve(path);
  let folder: string;
  try {
    await mkdir(wanted, { recursive: true, mode: 0o700 });
    folder = await realpath(wanted);
  } catch (error) {
    throw usage(`The folder ${wanted} cannot be made: ${error instanceof Error ? error.message : String(error)}.`);
  }
  const data = await realpath(dataFolder);
  if (isWithin(folder, data) || isWithin(data, folder))
    throw usage(`A backup cannot lie in the data folder, nor that in a backup: give a folder outside of ${data}.`);
  const names = await readdir(folder).catch((error: unknown) => {
    throw usage(`${folder} cannot be read: ${error instanceof Error ? error.message : String(error)}.`);
  });
  const isOurs = names.includes(MANIFEST) || names.includes(UNFINISHED);
  if (names.length > 0 && !isOurs)
    throw usage(`${folder} is not empty, and holds no backup: give an empty folder, or one of an earlier backup.`);
  // It holds the hashes of passwords and tokens.
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
    if (error instanceof AppError) throw conflict(`Another backup goes into ${folder} at this moment.`);
    throw error;
  }
}

/** Whole or not at all. */
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
