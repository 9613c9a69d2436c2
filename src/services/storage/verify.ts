// Checks the invariants of the stored data (see `INVARIANTS`), and repairs nothing.

import { basename } from "node:path";
import { listChannels } from "../../models/channel.ts";
import type { DataFolder } from "../../models/data-folder.ts";
import type { Database } from "../../models/database.ts";
import { listSkipped } from "../../models/index/copy.ts";
import {
  countBlobs,
  greatestBlobId,
  idleBlobs,
  knownBlobs,
  pageOfBlobs,
  type PackageBlobRow,
} from "../../models/package-blob.ts";
import { pageOfFiles, type PackageFileWithBlob } from "../../models/package-file.ts";
import type { Clock } from "../../modules/clock.ts";
import { createFileHash } from "../../modules/hash.ts";
import { createSemaphore } from "../../modules/mutex.ts";
import type { BlobInfo, BlobKey, BlobStore } from "../../modules/storage/blob-store.ts";
import { blobKey, isHash } from "../../modules/storage/keys.ts";
import { listTemporary } from "../../modules/storage/leftovers.ts";
import type { PackageTypes } from "../package-type.ts";
import type { DeepVerify, Report } from "../index/repair/verify.ts";
import { checkRows } from "./check-rows.ts";
import { checkQuarantine } from "./check-secrets.ts";
import { TEMPORARY_MS } from "./collect-files.ts";

/** `full` also reads every blob and compares its hashes; `deep` also rebuilds every document and reads it back. */
export type VerifyLevel = "quick" | "full" | "deep";
export type Problem = { readonly invariant: string; readonly subject: string; readonly message: string };
export type Progress = (done: number, total: number, what: "rows" | "blobs" | "documents") => void;

export type Verify = (options: {
  readonly level: VerifyLevel;
  readonly onProblem: (problem: Problem) => void;
  readonly onProgress?: Progress;
}) => Promise<{ readonly files: number; readonly blobs: number; readonly problems: number }>;

export type VerifyParts = {
  readonly database: Database;
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly types: PackageTypes;
  readonly folder: Pick<DataFolder, "root" | "database" | "index">;
  /** ms for which the collector retains an unreferenced blob. */
  readonly graceMs: number;
  readonly deep: DeepVerify;
};

const PAGE = 500;
/** For a bucket, which takes as long for each answer as for many at the same time. */
const STATS_AT_ONCE = 16;
/** A blob that is due remains until the next run of the collector, usually within a day. */
const LATE_MS = 2 * 24 * 60 * 60 * 1000;

export function createVerify(parts: VerifyParts): Verify {
  return async ({ level, onProblem, onProgress }) => {
    let problems = 0;
    const report: Report = (invariant, subject, message) => {
      problems += 1;
      onProblem({ invariant, subject, message });
    };
    for (const message of await parts.database.integrityProblems())
      report("I-1", basename(parts.folder.database), message);
    await checkRows(parts.database.read, report, (done, total) => onProgress?.(done, total, "rows"));
    const files = await checkFiles(parts, report);
    const blobs = await checkBlobs(parts, report, level, onProgress);
    await checkIdle(parts, report);
    for (const prefix of ["blobs/", "files/"]) await checkOrphans(parts, report, prefix);
    await checkLeftovers(parts, report);
    if (level === "deep")
      await parts.deep({ report, onProgress: (done, total) => onProgress?.(done, total, "documents") });
    else checkSkipped(parts, report);
    return { files, blobs, problems };
  };
}

/** I-2, I-10 and I-13: each file has a blob of the recorded size, and a row that its package type can read. */
async function checkFiles(parts: VerifyParts, report: Report): Promise<number> {
  const typeOf = new Map((await listChannels(parts.database.read)).map(({ id, type }) => [id, type]));
  let files = 0;
  let last = 0;
  for (let page = await pageOfFiles(parts.database.read, 0, PAGE); page.length > 0;) {
    const infos = await statAll(
      parts.blobs,
      page.map(({ blob }) => blobKey(blob.sha256)),
    );
    for (const [at, file] of page.entries()) {
      files += 1;
      last = file.id;
      const info = infos[at];
      const subject = `channel ${file.channelId} ${file.section}/${file.fileName}`;
      if (!info) report("I-2", subject, `its blob ${file.blob.sha256} is missing`);
      else if (info.size !== file.blob.size) report("I-2", subject, sizeMessage(file.blob, info.size));
      const problem = rowProblem(parts.types.all, typeOf.get(file.channelId), file);
      if (problem !== undefined) report("I-10", subject, problem);
      checkQuarantine(subject, file.quarantine, report);
    }
    page = await pageOfFiles(parts.database.read, last, PAGE);
  }
  return files;
}

/** In the order of the keys. */
async function statAll(blobs: BlobStore, keys: readonly BlobKey[]): Promise<readonly (BlobInfo | undefined)[]> {
  const slots = createSemaphore(STATS_AT_ONCE, Infinity);
  return await Promise.all(keys.map((key) => slots.run(() => blobs.stat(key))));
}

function rowProblem(
  types: PackageTypes["all"],
  name: string | undefined,
  { section, metadata }: Pick<PackageFileWithBlob, "section" | "metadata">,
): string | undefined {
  const type = types.find((one) => one.name === name);
  // A channel that was created after the list was read.
  if (name === undefined) return undefined;
  if (!type) return `its channel has the unknown package type ${name}`;
  if (!type.isSection(section)) return `no ${name} package has the section ${JSON.stringify(section)}`;
  return type.fileMetadata.safeParse(parsedJson(metadata)).success ? undefined : `its stored metadata is invalid`;
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** I-3: each blob has the content that was published. Returns the number of blobs. */
async function checkBlobs(
  parts: VerifyParts,
  report: Report,
  level: VerifyLevel,
  onProgress: Progress | undefined,
): Promise<number> {
  const total = await countBlobs(parts.database.read);
  let blobs = 0;
  let last = 0;
  for (let page = await pageOfBlobs(parts.database.read, 0, PAGE); page.length > 0;) {
    for (const row of page) {
      blobs += 1;
      last = row.id;
      if (level !== "quick") await checkContent(parts, report, row);
      onProgress?.(blobs, total, "blobs");
    }
    page = await pageOfBlobs(parts.database.read, last, PAGE);
  }
  return blobs;
}

async function checkContent(parts: VerifyParts, report: Report, row: PackageBlobRow): Promise<void> {
  const blob = await parts.blobs.open(blobKey(row.sha256));
  if (!blob) return;
  const hash = createFileHash();
  try {
    for await (const chunk of blob.stream()) hash.update(chunk);
  } catch (error) {
    // An unreadable blob must not hide the problems of others.
    return report("I-3", row.sha256, `it cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
  const { sha256, md5 } = hash.digest();
  if (sha256 !== row.sha256) report("I-3", row.sha256, `its content has the sha256 ${sha256}`);
  else if (md5 !== row.md5) report("I-3", row.sha256, `its content has the md5 ${md5}, not ${row.md5}`);
}

/** I-4: unreferenced blobs are deleted in time. */
async function checkIdle({ database, clock, graceMs }: VerifyParts, report: Report): Promise<void> {
  const last = await greatestBlobId(database.read);
  const limit = clock.now() - graceMs - LATE_MS;
  for (let after = 0; after < last; after += PAGE) {
    for (const use of await idleBlobs(database.read, { after, through: after + PAGE })) {
      if (use.isReferenced || use.unreferencedAt === null || use.unreferencedAt > limit) continue;
      const since = new Date(use.unreferencedAt).toISOString();
      report("I-4", blobKey(use.sha256), `no file has referred to it since ${since}: condarium gc deletes it`);
    }
  }
}

/** I-4: every blob and every file list has a row, or is new enough that its row can still be inserted. */
async function checkOrphans(parts: VerifyParts, report: Report, prefix: string): Promise<void> {
  let hashes = new Map<string, BlobKey>();
  const flush = async (): Promise<void> => {
    const known = await knownBlobs(parts.database.read, [...hashes.keys()]);
    const strays = [...hashes].filter(([hash]) => !known.has(hash)).map(([, key]) => key);
    const infos = await statAll(parts.blobs, strays);
    for (const [at, key] of strays.entries()) {
      const info = infos[at];
      if (info && info.modified < parts.clock.now() - parts.graceMs)
        report("I-4", key, "no file refers to it: condarium gc deletes it");
    }
    hashes = new Map();
  };
  for await (const key of parts.blobs.list(prefix)) {
    const hash = key.slice(key.lastIndexOf("/") + 1);
    if (isHash(hash)) hashes.set(hash, key);
    else report("I-4", key, "it is not a condarium blob: its name is not a sha256");
    if (hashes.size >= PAGE) await flush();
  }
  await flush();
}

/** I-5: no temporary file remains of an upload that ended long ago. */
async function checkLeftovers(parts: VerifyParts, report: Report): Promise<void> {
  for (const { name, modified } of await listTemporary(parts.folder.root)) {
    if (modified < parts.clock.now() - TEMPORARY_MS)
      report("I-5", name, "it is left over from an upload: condarium gc deletes it");
  }
}

/** I-6, limited to the records that the server has found to be unreadable and omits from its documents. */
function checkSkipped(parts: VerifyParts, report: Report): void {
  for (const { channelId, path, reason } of listSkipped(parts.folder.index))
    report("I-6", `channel ${channelId} ${path}`, `documents omit it, because no document can contain it: ${reason}`);
}

function sizeMessage(row: PackageBlobRow, size: number): string {
  return `its blob ${row.sha256} has ${size} bytes, not ${row.size}`;
}
