// Creates a data folder from a backup. The database is added last and atomically: no server uses a partial folder.

import { existsSync } from "node:fs";
import { mkdir, open, readdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { usage } from "../../errors.ts";
import { openDataFolder, partsOfFolder, resolveLinks, type DataFolder } from "../../models/data-folder.ts";
import { openSnapshots } from "../../models/open-database.ts";
import { lockFolder } from "../../models/lock.ts";
import type { Clock } from "../../modules/clock.ts";
import { FOLDERS } from "../../modules/storage/keys.ts";
import { createDiskStore } from "../../modules/storage/disk.ts";
import type { Problem } from "./verify.ts";
import { syncFolder } from "./backup-target.ts";
import { checkBackup, type CheckedBackup } from "./check-backup.ts";
import { contentsOf, readOnlyBlobs, sizeAt } from "./check-contents.ts";
import { createCopying, type CopyTotals } from "./copy-contents.ts";

export type RestoreSummary = {
  /** False when the backup has problems: then nothing was changed. */
  readonly isRestored: boolean;
  /** ms UTC: the time of the database snapshot in the backup. */
  readonly created: number;
  readonly rows: number;
  readonly packages: number;
  readonly bytes: number;
  readonly problems: number;
};

export type RestoreOptions = {
  readonly source: string;
  /** An empty folder, or one left by an interrupted restore. */
  readonly dataFolder: string;
  /** True restores the rest when packages are missing or damaged. */
  readonly incomplete: boolean;
  readonly clock: Clock;
  readonly onProblem: (problem: Problem) => void;
  readonly onProgress: (done: number, total: number, what: string) => void;
  readonly failpoint?: ((name: string) => void) | undefined;
};

/** A file in `tmp`. A server refuses a folder that has `tmp` and no database, and clears `tmp` once there is one. */
const UNFINISHED = "restoring";

/** Errors: `usage` when there is no backup, or the data folder is not empty or is in use; `no-space`. */
export async function restore(options: RestoreOptions): Promise<RestoreSummary> {
  const source = resolve(options.source);
  const folder = await prepare(options.dataFolder);
  const lock = lockFolder(folder.lock);
  try {
    const database = join(folder.temporary, "restored.db");
    const checked = await check({ ...options, source }, folder, database);
    if (!isRestorable(checked, options.incomplete)) return summaryOf(checked, undefined);
    options.failpoint?.("r1.checked");
    const totals = await copyContents({ ...options, source }, folder.root, database, checked);
    options.failpoint?.("r2.contents_copied");
    await putInPlace(folder, database);
    return summaryOf(checked, totals);
  } finally {
    lock.release();
  }
}

type Folder = DataFolder & {
  /** Deletes what the restore created, if the folder was empty before. */
  undo(): Promise<void>;
};

/** Errors: `usage` when the folder is not empty, or a server uses it. */
async function prepare(path: string): Promise<Folder> {
  const root = resolveLinks(path);
  const folder = partsOfFolder(root);
  const unfinished = join(folder.temporary, UNFINISHED);
  const isNew = !existsSync(root);
  const names = isNew ? [] : await readdir(root);
  // The root of a file system has this folder by default.
  const isEmpty = names.every((name) => name === "lost+found");
  const isInterrupted = !names.includes(basename(folder.database)) && existsSync(unfinished);
  if (!isEmpty && !isInterrupted) {
    if (names.includes(basename(folder.lock))) lockFolder(folder.lock).release();
    throw usage(`${root} is not empty, so nothing was restored. Move its contents away, or set another --data.`);
  }
  try {
    await mkdir(folder.temporary, { recursive: true, mode: 0o700 });
    await writeFile(unfinished, "A restore is running, or was interrupted.\n", { mode: 0o600 });
  } catch (error) {
    throw usage(`${root} cannot be written: ${error instanceof Error ? error.message : String(error)}.`);
  }
  for (const name of await readdir(folder.temporary)) {
    if (name !== UNFINISHED) await rm(join(folder.temporary, name), { recursive: true, force: true });
  }
  const undo = async (): Promise<void> => {
    if (!isEmpty) return;
    const created = [folder.temporary, folder.lock, ...FOLDERS.map((name) => join(root, name))];
    for (const part of created) await rm(part, { recursive: true, force: true });
    if (isNew) await rmdir(root);
  };
  return { ...folder, undo };
}

async function check(options: RestoreOptions, folder: Folder, database: string): Promise<CheckedBackup> {
  let checked: CheckedBackup | undefined;
  try {
    checked = await checkBackup({ ...options, database });
    return checked;
  } finally {
    if (!checked || !isRestorable(checked, options.incomplete)) await folder.undo();
  }
}

/** A restore needs every row; with `incomplete` it can do without some packages. */
function isRestorable({ rowProblems, contentProblems }: CheckedBackup, incomplete: boolean): boolean {
  return rowProblems === 0 && (contentProblems === 0 || incomplete);
}

async function copyContents(
  { source, onProgress }: RestoreOptions,
  root: string,
  database: string,
  { manifest }: CheckedBackup,
): Promise<CopyTotals> {
  const snapshots = openSnapshots({ engine: "sqlite", path: database });
  try {
    return await snapshots.snapshot(async (reader) => {
      const copying = createCopying({
        from: readOnlyBlobs(source),
        to: createDiskStore({ root, reserve: 0 }),
        sizeOf: (key) => sizeAt(root, key),
        reader,
        previous: contentsOf(source, manifest),
        check: () => undefined,
        // `checkBackup` has already reported the problems.
        onProblem: () => undefined,
        onProgress,
      });
      for await (const _ of copying.lines());
      return copying.totals;
    });
  } finally {
    await snapshots.close();
  }
}

/** The rename completes the folder: until then it has no database. */
async function putInPlace(folder: DataFolder, restored: string): Promise<void> {
  const file = await open(restored, "r+");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(restored, folder.database);
  await syncFolder(folder.root);
  openDataFolder(folder.root, { create: false });
  await rm(join(folder.temporary, UNFINISHED), { force: true });
}

function summaryOf(checked: CheckedBackup, totals: CopyTotals | undefined): RestoreSummary {
  const { manifest, rows, rowProblems, contentProblems } = checked;
  return {
    isRestored: totals !== undefined,
    created: manifest.created,
    rows,
    packages: totals?.blobs ?? 0,
    bytes: (totals?.blobBytes ?? 0) + (totals?.fileListBytes ?? 0),
    problems: rowProblems + contentProblems,
  };
}
