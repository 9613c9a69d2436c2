// Copies the blobs that a database names, and their file lists, to another store, unless it already contains them.

import { countBlobs, pageOfBlobUses, type BlobUse, type PackageBlobRow } from "../../models/package-blob.ts";
import type { Reader } from "../../models/database.ts";
import { createFileHash, sha256Hex } from "../../modules/hash.ts";
import type { BlobKey, BlobStore } from "../../modules/storage/blob-store.ts";
import { blobKey, fileListKey } from "../../modules/storage/keys.ts";
import type { Problem } from "./verify.ts";
import type { Content } from "./backup-format.ts";

export type CopyParts = {
  readonly from: Pick<BlobStore, "open">;
  readonly to: Pick<BlobStore, "stage" | "put">;
  /** Size of a key in `to`, or undefined. Must be cheap: it is called for every package, and most exist already. */
  readonly sizeOf: (key: BlobKey) => number | undefined | Promise<number | undefined>;
  readonly reader: Reader;
  /** The contents of the previous backup, ordered by sha256. */
  readonly previous: AsyncIterator<Content>;
  /** Throws when copying must stop. */
  readonly check: () => void;
  readonly onProblem: (problem: Problem) => void;
  readonly onProgress: (done: number, total: number, what: string) => void;
};

export type Copying = {
  /** Copies the blobs, and yields for each blob what the target contains then. */
  lines(): AsyncGenerator<Content, void, undefined>;
  readonly totals: CopyTotals;
  /** The hashes that the previous backup contains and this one does not name. */
  readonly dropped: readonly string[];
};

export type CopyTotals = {
  blobs: number;
  blobBytes: number;
  fileListBytes: number;
  copiedFiles: number;
  copiedBytes: number;
};

type Use = BlobUse & Pick<PackageBlobRow, "md5">;

/** Files copied in parallel: small files mostly wait for the disk. */
const AT_ONCE = 32;
const PAGE = 16 * AT_ONCE;

export function createCopying(parts: CopyParts): Copying {
  const totals = { blobs: 0, blobBytes: 0, fileListBytes: 0, copiedFiles: 0, copiedBytes: 0 };
  const dropped: string[] = [];
  const previous = walkPrevious(parts.previous, (hash) => void dropped.push(hash));
  return {
    totals,
    dropped,
    lines: async function* () {
      const total = await countBlobs(parts.reader);
      let done = 0;
      for await (const batch of batchesOf(parts.reader)) {
        parts.check();
        const known: (Content | undefined)[] = [];
        for (const { sha256 } of batch) known.push(await previous.at(sha256));
        const lines = await Promise.all(batch.map((use, at) => copyOne(parts, totals, use, known[at])));
        for (const line of lines) count(totals, line);
        yield* lines;
        done += batch.length;
        parts.onProgress(done, total, "packages");
      }
      await previous.end();
    },
  };
}

async function* batchesOf(reader: Reader): AsyncGenerator<readonly Use[], void, undefined> {
  for (let page = await pageOfBlobUses(reader, "", PAGE); page.length > 0;) {
    for (let at = 0; at < page.length; at += AT_ONCE) yield page.slice(at, at + AT_ONCE);
    page = await pageOfBlobUses(reader, page.at(-1)?.sha256 ?? "", PAGE);
  }
}

/** Walks through the previous contents in step with the current hashes, and reports the hashes that were dropped. */
function walkPrevious(previous: AsyncIterator<Content>, onDropped: (hash: string) => void) {
  let waiting: Content | undefined;
  const next = async (): Promise<Content | undefined> => {
    const content = waiting;
    waiting = undefined;
    if (content) return content;
    const step = await previous.next();
    return step.done === true ? undefined : step.value;
  };
  return {
    at: async (hash: string): Promise<Content | undefined> => {
      for (;;) {
        const content = await next();
        if (!content || content.sha256 === hash) return content;
        if (content.sha256 > hash) {
          waiting = content;
          return undefined;
        }
        onDropped(content.sha256);
      }
    },
    end: async (): Promise<void> => {
      for (let content = await next(); content; content = await next()) onDropped(content.sha256);
    },
  };
}

async function copyOne(
  parts: CopyParts,
  totals: CopyTotals,
  use: Use,
  previous: Content | undefined,
): Promise<Content> {
  const { sha256 } = use;
  const size = await copyBlob(parts, totals, use);
  return { sha256, size, file_list: size === null ? null : await copyList(parts, totals, sha256, previous?.file_list) };
}

/** The size of the blob in the target; null when its source is missing or damaged. */
async function copyBlob(
  { from, to, sizeOf, onProblem }: CopyParts,
  totals: CopyTotals,
  use: Use,
): Promise<number | null> {
  const { sha256, md5, size, isReferenced } = use;
  const key = blobKey(sha256);
  // An existing blob was verified against its hash when it was stored.
  if ((await sizeOf(key)) === size) return size;
  const blob = await from.open(key);
  if (!blob) {
    if (isReferenced) onProblem({ invariant: "I-2", subject: key, message: "it is missing and was not copied" });
    return null;
  }
  const staged = await to.stage();
  try {
    const hash = createFileHash();
    for await (const chunk of blob.stream()) {
      hash.update(chunk);
      await staged.append(chunk);
    }
    const found = hash.digest();
    if (found.sha256 !== sha256 || found.md5 !== md5) {
      const message = `it is damaged and was not copied: its bytes have the sha256 ${found.sha256}`;
      onProblem({ invariant: "I-3", subject: key, message });
      return null;
    }
    await staged.sync();
    await staged.promote(key);
    totals.copiedFiles += 1;
    totals.copiedBytes += size;
    return size;
  } finally {
    await staged.discard();
  }
}

async function copyList(
  { from, to, sizeOf }: CopyParts,
  totals: CopyTotals,
  hash: string,
  previous: Content["file_list"] | undefined,
): Promise<Content["file_list"]> {
  const key = fileListKey(hash);
  if (previous && (await sizeOf(key)) === previous.size) return previous;
  const list = await from.open(key);
  if (!list) return null;
  const bytes = new Uint8Array(await list.arrayBuffer());
  await to.put(key, bytes);
  totals.copiedFiles += 1;
  totals.copiedBytes += bytes.byteLength;
  return { size: bytes.byteLength, sha256: sha256Hex(bytes) };
}

function count(totals: CopyTotals, { size, file_list: list }: Content): void {
  if (size === null) return;
  totals.blobs += 1;
  totals.blobBytes += size;
  totals.fileListBytes += list?.size ?? 0;
}
