// Reads every package and file list of a backup, and compares them with the rows that name them.

import { lstatSync } from "node:fs";
import { join } from "node:path";
import type { Reader } from "../../models/database.ts";
import { countBlobs, pageOfBlobUses, type BlobUse, type PackageBlobRow } from "../../models/package-blob.ts";
import { createFileHash, sha256Hex } from "../../modules/hash.ts";
import type { BlobKey, BlobStore } from "../../modules/storage/blob-store.ts";
import { blobKey, fileListKey } from "../../modules/storage/keys.ts";
import type { Problem } from "./verify.ts";
import { parseContent, rowPath, type Content, type Manifest } from "./backup-format.ts";
import { readRowFile } from "./row-files.ts";

type CheckContentsParts = {
  readonly source: string;
  readonly reader: Reader;
  readonly onProblem: (problem: Problem) => void;
  readonly onProgress: (done: number, total: number, what: string) => void;
};

type Use = BlobUse & Pick<PackageBlobRow, "md5">;
type ReportProblem = (invariant: string, subject: string, message: string) => void;

const PAGE = 500;

/** Reads blobs from a folder, which can be on a read-only medium. */
export function readOnlyBlobs(root: string): Pick<BlobStore, "open"> {
  return { open: async (key) => fileAt(root, key) };
}

/** The contents that a backup lists, ordered by sha256. */
export async function* contentsOf(source: string, manifest: Manifest): AsyncGenerator<Content, void, undefined> {
  for await (const lines of readRowFile(rowPath(source, manifest, "contents"))) yield* lines.map(parseContent);
}

export async function checkContents(parts: CheckContentsParts, manifest: Manifest): Promise<void> {
  const { source, reader, onProblem, onProgress } = parts;
  const report: ReportProblem = (invariant, subject, message) => onProblem({ invariant, subject, message });
  const total = await countBlobs(reader);
  const contents = contentsOf(source, manifest);
  let done = 0;
  let last = "";
  try {
    for (let page = await pageOfBlobUses(reader, last, PAGE); page.length > 0;) {
      for (const use of page) {
        const step = await contents.next();
        const content = step.done === true ? undefined : step.value;
        // Both have the same order and belong to the same snapshot.
        if (content?.sha256 !== use.sha256) return report("I-19", manifest.rows, "its contents do not match its rows");
        await checkContent(source, report, use, content);
        onProgress((done += 1), total, "packages");
      }
      last = page.at(-1)?.sha256 ?? "";
      page = await pageOfBlobUses(reader, last, PAGE);
    }
    if ((await contents.next()).done !== true)
      report("I-19", manifest.rows, "its contents list more blobs than its rows");
  } catch (error) {
    report("I-19", manifest.rows, `its contents cannot be read: ${error instanceof Error ? error.message : ""}`);
  }
}

async function checkContent(source: string, report: ReportProblem, use: Use, content: Content): Promise<void> {
  const key = blobKey(use.sha256);
  const blob = fileAt(source, key);
  if (content.size === null && !use.isReferenced) return;
  if (!blob)
    report("I-2", key, content.size === null ? "it was missing or damaged when the backup was made" : "it is missing");
  else if (blob.size !== use.size) report("I-2", key, `it has ${blob.size} bytes, not ${use.size}`);
  else await checkBytes(blob, report, use);
  const { file_list: list } = content;
  if (list === null) return;
  const listKey = fileListKey(use.sha256);
  const bytes = fileAt(source, listKey);
  if (!bytes) report("I-2", listKey, "it is missing");
  else if (sha256Hex(new Uint8Array(await bytes.arrayBuffer())) !== list.sha256)
    report("I-3", listKey, "its content has changed since the backup");
}

async function checkBytes(blob: Blob, report: ReportProblem, { sha256, md5 }: Use): Promise<void> {
  const hash = createFileHash();
  for await (const chunk of blob.stream()) hash.update(chunk);
  const found = hash.digest();
  if (found.sha256 !== sha256) report("I-3", blobKey(sha256), `its content has the sha256 ${found.sha256}`);
  else if (found.md5 !== md5) report("I-3", blobKey(sha256), `its content has the md5 ${found.md5}, not ${md5}`);
}

function fileAt(root: string, key: BlobKey): Blob | undefined {
  return sizeAt(root, key) === undefined ? undefined : Bun.file(join(root, key));
}

/** The size of a regular file; undefined when there is none. */
export function sizeAt(root: string, key: BlobKey): number | undefined {
  const info = lstatSync(join(root, key), { throwIfNoEntry: false });
  return info?.isFile() === true ? info.size : undefined;
}
