// Reads every package of a backup, and every file list, beside the rows that name them.

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
type Tell = (invariant: string, subject: string, message: string) => void;

const PAGE = 500;

/** A folder of blobs that is only read: it may lie on a medium that cannot be written. */
export function readOnlyBlobs(root: string): Pick<BlobStore, "open"> {
  return { open: async (key) => fileAt(root, key) };
}

/** What a backup says that it holds, in the order of the blobs' hashes. */
export async function* contentsOf(source: string, manifest: Manifest): AsyncGenerator<Content, void, undefined> {
  for await (const lines of readRowFile(rowPath(source, manifest, "contents"))) yield* lines.map(parseContent);
}

export async function checkContents(parts: CheckContentsParts, manifest: Manifest): Promise<void> {
  const { source, reader, onProblem, onProgress } = parts;
  const tell: Tell = (invariant, subject, message) => onProblem({ invariant, subject, message });
  const total = await countBlobs(reader);
  const contents = contentsOf(source, manifest);
  let done = 0;
  let last = "";
  try {
    for (let page = await pageOfBlobUses(reader, last, PAGE); page.length > 0;) {
      for (const use of page) {
        const step = await contents.next();
        const content = step.done === true ? undefined : step.value;
        // Both are in the same order and of the same moment.
        if (content?.sha256 !== use.sha256)
          return tell("I-19", manifest.rows, "its contents are not those of its rows");
        await checkContent(source, tell, use, content);
        onProgress((done += 1), total, "packages");
      }
      last = page.at(-1)?.sha256 ?? "";
      page = await pageOfBlobUses(reader, last, PAGE);
    }
    if ((await contents.next()).done !== true) tell("I-19", manifest.rows, "its contents are more than its rows name");
  } catch (error) {
    tell("I-19", manifest.rows, `its contents cannot be read: ${error instanceof Error ? error.message : ""}`);
  }
}

async function checkContent(source: string, tell: Tell, use: Use, content: Content): Promise<void> {
  const key = blobKey(use.sha256);
  const blob = fileAt(source, key);
  if (content.size === null && !use.isReferenced) return;
  if (!blob) tell("I-2", key, content.size === null ? "it was not there to be copied" : "it is missing");
  else if (blob.size !== use.size) tell("I-2", key, `it has ${blob.size} bytes, not ${use.size}`);
  else await checkBytes(blob, tell, use);
  const { file_list: list } = content;
  if (list === null) return;
  const listKey = fileListKey(use.sha256);
  const bytes = fileAt(source, listKey);
  if (!bytes) tell("I-2", listKey, "it is missing");
  else if (sha256Hex(new Uint8Array(await bytes.arrayBuffer())) !== list.sha256)
    tell("I-3", listKey, "its bytes are not those that were copied");
}

async function checkBytes(blob: Blob, tell: Tell, { sha256, md5 }: Use): Promise<void> {
  const hash = createFileHash();
  for await (const chunk of blob.stream()) hash.update(chunk);
  const found = hash.digest();
  if (found.sha256 !== sha256) tell("I-3", blobKey(sha256), `the bytes have the sha256 ${found.sha256}`);
  else if (found.md5 !== md5) tell("I-3", blobKey(sha256), `the bytes have the md5 ${found.md5}, not ${md5}`);
}

function fileAt(root: string, key: BlobKey): Blob | undefined {
  return sizeAt(root, key) === undefined ? undefined : Bun.file(join(root, key));
}

/** Of a regular file. */
export function sizeAt(root: string, key: BlobKey): number | undefined {
  const info = lstatSync(join(root, key), { throwIfNoEntry: false });
  return info?.isFile() === true ? info.size : undefined;
}
