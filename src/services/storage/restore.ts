// Creates a data folder and a database from a backup. The database is added last and atomically: no server uses a part.

import { existsSync } from "node:fs";
import { mkdir, readdir, rm, rmdir, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { usage } from "../../errors.ts";
import { openDataFolder, partsOfFolder, resolveLinks, type DataFolder } from "../../models/data-folder.ts";
import type { DatabaseSource, Reader } from "../../models/database.ts";
import { lockFolder } from "../../models/lock.ts";
import { databaseOf } from "../../models/open-database.ts";
import { createDatabase, requireEmptyServer } from "../../models/whole-database.ts";
import type { Clock } from "../../modules/clock.ts";
import type { BlobStore } from "../../modules/storage/blob-store.ts";
import { FOLDERS } from "../../modules/storage/keys.ts";
import type { Problem } from "./verify.ts";
import type { Manifest } from "./backup-format.ts";
import { syncFolder } from "./backup-target.ts";
import { checkRows, counted, type CheckedRows } from "./check-backup.ts";
import { checkContents, contentsOf, readOnlyBlobs } from "./check-contents.ts";
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
  /** An empty database of PostgreSQL; undefined: a file in the data folder. */
  readonly databaseUrl: string | undefined;
  /** True restores the rest when packages are missing or damaged. */
  readonly incomplete: boolean;
  readonly clock: Clock;
  /** The store of the packages of a data folder. */
  readonly openBlobs: (root: string) => BlobStore | Promise<BlobStore>;
  readonly onProblem: (problem: Problem) => void;
  readonly onProgress: (done: number, total: number, what: string) => void;
  readonly failpoint?: ((name: string) => void) | undefined;
};

/** Errors: `usage` when there is no backup, or the data folder or database is not empty or is in use; `no-space`. */
export async function restore(options: RestoreOptions): Promise<RestoreSummary> {
  const parts = { ...options, source: resolve(options.source) };
  const root = resolveLinks(options.dataFolder);
  const target = databaseOf(partsOfFolder(root).database, options.databaseUrl);
  await requireEmptyServer(target);
  const folder = await prepare(root);
  const lock = lockFolder(folder.lock);
  let isCopying = false;
  try {
    const checked = await checkRows({ ...parts, database: rowsIn(folder) });
    if (checked.problems > 0) return summaryOf(checked, undefined);
    const summary = await restoreRows({ ...parts, folder, target, onCopy: () => (isCopying = true) }, checked);
    if (summary.isRestored) await complete(folder, target);
    return summary;
  } finally {
    // What was copied is kept for the next attempt.
    if (!isCopying) await folder.undo();
    lock.release();
  }
}

type Folder = DataFolder & {
  /** Deletes what the restore created, if the folder was empty before. */
  undo(): Promise<void>;
};

/** Errors: `usage` when the folder is not empty, or a server uses it. */
async function prepare(root: string): Promise<Folder> {
  const folder = partsOfFolder(root);
  const isNew = !existsSync(root);
  const names = isNew ? [] : await readdir(root);
  // The root of a file system has this folder by default.
  const isEmpty = names.every((name) => name === "lost+found");
  const isInterrupted = !names.includes(basename(folder.database)) && existsSync(folder.restoring);
  if (!isEmpty && !isInterrupted) {
    if (names.includes(basename(folder.lock))) lockFolder(folder.lock).release();
    throw usage(`${root} is not empty, so nothing was restored. Move its contents away, or set another --data.`);
  }
  try {
    await mkdir(folder.temporary, { recursive: true, mode: 0o700 });
    await writeFile(folder.restoring, "A restore is running, or was interrupted.\n", { mode: 0o600 });
  } catch (error) {
    throw usage(`${root} cannot be written: ${error instanceof Error ? error.message : String(error)}.`);
  }
  for (const name of await readdir(folder.temporary)) {
    if (name !== basename(folder.restoring)) await rm(join(folder.temporary, name), { recursive: true, force: true });
  }
  // The attempt before can have been for the other engine.
  for (const path of [folder.server, folder.layout]) await rm(path, { force: true });
  const undo = async (): Promise<void> => {
    if (!isEmpty) return;
    const created = [folder.temporary, folder.lock, ...FOLDERS.map((name) => join(root, name))];
    for (const part of created) await rm(part, { recursive: true, force: true });
    if (isNew) await rmdir(root);
  };
  return { ...folder, undo };
}

type Work = RestoreOptions & {
  readonly folder: DataFolder;
  readonly target: DatabaseSource;
  readonly onCopy: () => void;
};

/** Puts the rows into a new database, which is kept once the packages have been checked and copied. */
async function restoreRows(work: Work, checked: CheckedRows): Promise<RestoreSummary> {
  const { folder, target, clock, onProgress } = work;
  const onTable = (done: number, total: number): void => onProgress(done, total, "tables");
  const database = { target, rows: rowsIn(folder), now: clock.now(), onProgress: onTable };
  const contents = counted(work.onProblem);
  const totals = await createDatabase(database, async (reader) => {
    await checkContents({ ...work, reader, onProblem: contents.report }, checked.manifest);
    if (contents.count() > 0 && !work.incomplete) return { isKept: false, value: undefined };
    work.failpoint?.("r1.checked");
    work.onCopy();
    const copied = await copyContents(work, reader, checked.manifest);
    // The database is put in place next, and needs this folder from then on.
    if (target.engine === "postgres") openDataFolder(folder.root, { create: true, database: "server" });
    work.failpoint?.("r2.contents_copied");
    return { isKept: true, value: copied };
  });
  work.failpoint?.("r3.in_place");
  return summaryOf({ ...checked, problems: contents.count() }, totals);
}

async function copyContents(
  { source, folder, onProgress, openBlobs }: Work,
  reader: Reader,
  manifest: Manifest,
): Promise<CopyTotals> {
  const to = await openBlobs(folder.root);
  const copying = createCopying({
    from: readOnlyBlobs(source),
    to,
    sizeOf: async (key) => (await to.stat(key))?.size,
    reader,
    previous: contentsOf(source, manifest),
    check: () => undefined,
    // `checkContents` has already reported the problems.
    onProblem: () => undefined,
    onProgress,
  });
  for await (const _ of copying.lines());
  return copying.totals;
}

/** Until now, every server refused the folder or the database. */
async function complete(folder: DataFolder, { engine }: DatabaseSource): Promise<void> {
  await syncFolder(folder.root);
  openDataFolder(folder.root, { create: false, database: engine === "postgres" ? "server" : "file" });
  for (const path of [rowsIn(folder), folder.restoring]) await rm(path, { force: true });
}

function rowsIn({ temporary }: DataFolder): string {
  return join(temporary, "restored.db");
}

function summaryOf({ manifest, rows, problems }: CheckedRows, totals: CopyTotals | undefined): RestoreSummary {
  return {
    isRestored: totals !== undefined,
    created: manifest.created,
    rows,
    packages: totals?.blobs ?? 0,
    bytes: (totals?.blobBytes ?? 0) + (totals?.fileListBytes ?? 0),
    problems,
  };
}
