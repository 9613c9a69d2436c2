// Copies everything that cannot be rebuilt, while the server runs: first the database, then every blob that it names.

import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { partsOfFolder, type DataFolder } from "../../models/data-folder.ts";
import type { Database, DatabaseSource, Reader } from "../../models/database.ts";
import { knownBlobs } from "../../models/package-blob.ts";
import type { Moment } from "../../models/table-rows.ts";
import { atMoment } from "../../models/whole-database.ts";
import type { Clock } from "../../modules/clock.ts";
import { randomHex } from "../../modules/ids.ts";
import type { BlobStore } from "../../modules/storage/blob-store.ts";
import { createDiskStore } from "../../modules/storage/disk.ts";
import { blobKey, fileListKey } from "../../modules/storage/keys.ts";
import type { Problem } from "./verify.ts";
import { BACKUP_FORMAT, parseContent, rowPath, UNFINISHED, type Content, type Manifest } from "./backup-format.ts";
import { deleteOtherRows, openTarget, syncFolder, type BackupTarget } from "./backup-target.ts";
import { leaseBlobs, type BlobsLease } from "./blobs-lease.ts";
import { sizeAt } from "./check-contents.ts";
import { createCopying, type Copying } from "./copy-contents.ts";
import { readRowFile, writeRowFile } from "./row-files.ts";

export type BackupSummary = {
  /** ms UTC: the time of the database snapshot. */
  readonly created: number;
  readonly rows: number;
  readonly packages: number;
  readonly bytes: number;
  /** The files that the backup did not contain yet. */
  readonly copiedFiles: number;
  readonly copiedBytes: number;
  /** Files of earlier backups that this backup does not name. */
  readonly removedFiles: number;
  readonly problems: number;
};

/** Errors: `usage` for an unusable target, `conflict`, `unavailable`, `no-space`. The previous backup stays intact. */
export type Backup = (options: {
  readonly target: string;
  readonly onProblem: (problem: Problem) => void;
  readonly onProgress?: ((done: number, total: number, what: string) => void) | undefined;
}) => Promise<BackupSummary>;

export type BackupParts = {
  readonly database: Database;
  /** Where the database is, to read one moment of it. */
  readonly source: DatabaseSource;
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly folder: Pick<DataFolder, "root">;
  /** The version of this program. */
  readonly version: string;
  readonly failpoint?: ((name: string) => void) | undefined;
};

type Work = BackupParts & {
  readonly target: BackupTarget;
  /** The store of the target. */
  readonly store: BlobStore;
  readonly lease: BlobsLease;
  readonly onProblem: (problem: Problem) => void;
  readonly onProgress: (done: number, total: number, what: string) => void;
};
type Copy = Moment & { readonly created: number };

export function createBackup(parts: BackupParts): Backup {
  return async ({ target: path, onProblem, onProgress = () => undefined }) => {
    const target = await openTarget(path, parts.folder.root);
    try {
      const store = createDiskStore({ root: target.folder, reserve: 0 });
      await store.sweep();
      const lease = await leaseBlobs(parts);
      try {
        return await backUp({ ...parts, target, store, lease, onProblem, onProgress });
      } finally {
        await lease.release();
      }
    } finally {
      target.release();
    }
  };
}

async function backUp(work: Work): Promise<BackupSummary> {
  const created = work.clock.now();
  const copy = join(partsOfFolder(work.target.folder).temporary, "moment.db");
  try {
    return await atMoment(work.source, copy, (moment) => backUpCopy(work, { created, ...moment }));
  } finally {
    await work.store.sweep();
  }
}

async function backUpCopy(work: Work, copy: Copy): Promise<BackupSummary> {
  const { target, store, blobs, lease } = work;
  let problems = 0;
  const onProblem = (problem: Problem): void => {
    problems += 1;
    work.onProblem(problem);
  };
  const previous = contentsOf(target);
  const copying = createCopying({
    reader: copy.reader,
    onProgress: work.onProgress,
    onProblem,
    from: blobs,
    to: store,
    sizeOf: (key) => sizeAt(target.folder, key),
    previous: previous.lines(),
    check: lease.check,
  });
  const manifest = await writeRows(work, copy, copying);
  await lease.confirm();
  await target.finish(manifest);
  work.failpoint?.("b3.manifest_switched");
  const removedFiles = await removeOthers(work, copy, copying.dropped, previous.isKnown() && !target.wasInterrupted);
  await deleteOtherRows(target.folder, manifest);
  await rm(join(target.folder, UNFINISHED), { force: true });
  const { blobs: packages, blobBytes, fileListBytes, copiedFiles, copiedBytes } = copying.totals;
  const rows = manifest.tables.reduce((sum, table) => sum + table.rows, 0);
  const bytes = blobBytes + fileListBytes;
  return { created: copy.created, rows, packages, bytes, copiedFiles, copiedBytes, removedFiles, problems };
}

/** Writes the rows first, then every blob that they name. */
async function writeRows(work: Work, { created, source }: Copy, copying: Copying): Promise<Manifest> {
  const { folder } = work.target;
  const rows = `rows/${created}-${randomHex(4)}`;
  await mkdir(join(folder, rows), { recursive: true, mode: 0o700 });
  // In parallel, because each table waits for the disk.
  const tables = await Promise.all(
    source.tables.map(async (name) => {
      const written = await writeRowFile(rowPath(folder, { rows }, name), source.rows(name));
      return { name, ...written, last_id: (await source.lastId(name)) ?? null };
    }),
  );
  work.failpoint?.("b1.rows_written");
  const written = await writeRowFile(rowPath(folder, { rows }, "contents"), copying.lines());
  for (const path of [rows, "rows", "."]) await syncFolder(join(folder, path));
  work.failpoint?.("b2.contents_copied");
  const { blobBytes, fileListBytes } = copying.totals;
  const contents = { ...written, blob_bytes: blobBytes, file_list_bytes: fileListBytes };
  return { format: BACKUP_FORMAT, condarium: work.version, schema: source.schema, created, rows, tables, contents };
}

/** Deletes the files of `dropped` blobs. Unless `isComplete`, searches the folder and deletes all files not named. */
async function removeOthers(
  { store }: Work,
  { reader }: Copy,
  dropped: readonly string[],
  isComplete: boolean,
): Promise<number> {
  let removed = 0;
  const remove = async (hash: string): Promise<void> => {
    for (const key of [blobKey(hash), fileListKey(hash)]) {
      if (!(await store.stat(key))) continue;
      await store.delete(key);
      removed += 1;
    }
  };
  for (const hash of dropped) await remove(hash);
  if (!isComplete) for await (const hash of unnamed(store, reader)) await remove(hash);
  return removed;
}

async function* unnamed(store: BlobStore, reader: Reader): AsyncGenerator<string, void, undefined> {
  for (const prefix of ["blobs/", "files/"]) {
    let hashes: string[] = [];
    const flush = async (): Promise<string[]> => {
      const known = await knownBlobs(reader, hashes);
      const others = hashes.filter((hash) => !known.has(hash));
      hashes = [];
      return others;
    };
    for await (const key of store.list(prefix)) {
      hashes.push(key.slice(-64));
      if (hashes.length >= 500) yield* await flush();
    }
    yield* await flush();
  }
}

/** The contents of the previous backup. Contents that cannot be read count as not backed up. */
function contentsOf({ folder, previous }: BackupTarget) {
  let isKnown = true;
  return {
    isKnown: () => isKnown,
    lines: async function* (): AsyncGenerator<Content, void, undefined> {
      if (!previous) return;
      try {
        for await (const lines of readRowFile(rowPath(folder, previous, "contents"))) yield* lines.map(parseContent);
      } catch {
        isKnown = false;
      }
    },
  };
}
