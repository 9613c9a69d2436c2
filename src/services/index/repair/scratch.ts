// A folder apart from the stored derived data, in which documents are rebuilt. It is deleted when the work ends.

import { closeSync, existsSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { unavailable } from "../../../errors.ts";
import { openDerived, type Derived } from "../../../models/index/db.ts";
import { readAt } from "../../../modules/archive/file-range.ts";
import { randomHex } from "../../../modules/ids.ts";
import { createDerivedFiles, type DerivedDraft } from "../../../modules/storage/derived-files.ts";

export type ScratchStore = { readonly path: string; readonly derived: Derived };

export type Scratch = {
  /** Built from scratch. */
  readonly fresh: ScratchStore;
  /** A copy of the stored data, brought up to the revision. */
  readonly copy: ScratchStore;
  readonly shards: ShardFile;
  /** Creates an empty draft file for a document. */
  draft(folder: string): DerivedDraft;
};

/** Shards by hash, one after the other in one file, as separate files would be too many. */
export type ShardFile = {
  add(hash: string, content: Uint8Array): void;
  read(hash: string): Uint8Array | undefined;
  close(): void;
};

/** Creates the folder among the `temporary` files; `codec` is that of the derived data. */
export async function withScratch<T>(
  temporary: string,
  codec: string,
  work: (scratch: Scratch) => Promise<T>,
): Promise<T> {
  const folder = join(temporary, randomHex(16));
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const opened: { close(): void }[] = [];
  const store = (name: string): ScratchStore => {
    const path = join(folder, name);
    const derived = openDerived(path, codec);
    opened.push(derived);
    return { path, derived };
  };
  try {
    const shards = createShardFile(join(folder, "shards"));
    opened.push(shards);
    const files = createDerivedFiles(folder);
    const draft = (name: string): DerivedDraft => {
      const created = files.draft(name);
      opened.push({ close: created.drop });
      return created;
    };
    return await work({ fresh: store("fresh.db"), copy: store("copy.db"), shards, draft });
  } catch (error) {
    if (existsSync(folder)) throw error;
    throw unavailable("A server started meanwhile and deleted the temporary files. Run this again.", 0, error);
  } finally {
    for (const resource of opened) resource.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function createShardFile(path: string): ShardFile {
  const file = openSync(path, "wx+", 0o600);
  const extents = new Map<string, { readonly offset: number; readonly size: number }>();
  let end = 0;
  return {
    add: (hash, content) => {
      if (extents.has(hash)) return;
      for (let written = 0; written < content.byteLength;) written += writeSync(file, content, written);
      extents.set(hash, { offset: end, size: content.byteLength });
      end += content.byteLength;
    },
    read: (hash) => {
      const extent = extents.get(hash);
      return extent && readAt(file, extent.offset, extent.size);
    },
    close: () => closeSync(file),
  };
}
