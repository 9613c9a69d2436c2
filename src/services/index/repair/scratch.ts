// A place beside the stored derived data, in which documents are made from nothing. It goes when the work ends.

import { closeSync, existsSync, mkdirSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { unavailable } from "../../../errors.ts";
import { openDerived, type Derived } from "../../../models/index/db.ts";
import { readAt } from "../../../modules/archive/file-range.ts";
import { randomHex } from "../../../modules/ids.ts";
import { createDerivedFiles, type DerivedDraft } from "../../../modules/storage/derived-files.ts";

export type ScratchStore = { readonly path: string; readonly derived: Derived };

export type Scratch = {
  /** Made from nothing. */
  readonly fresh: ScratchStore;
  /** What is stored, as it was copied, brought up to the revision. */
  readonly copy: ScratchStore;
  readonly shards: ShardFile;
  /** An empty file of its own for a document. */
  draft(folder: string): DerivedDraft;
};

/** Shards by their hashes, one after the other in a file: as files of their own they would be many. */
export type ShardFile = {
  add(hash: string, content: Uint8Array): void;
  read(hash: string): Uint8Array | undefined;
  close(): void;
};

/** In the folder of temporary files; `codec` is that of the derived data. */
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
      const one = files.draft(name);
      opened.push({ close: one.drop });
      return one;
    };
    return await work({ fresh: store("fresh.db"), copy: store("copy.db"), shards, draft });
  } catch (error) {
    if (existsSync(folder)) throw error;
    throw unavailable("A server was started meanwhile and has cleared the temporary files. Run this again.", 0, error);
  } finally {
    for (const part of opened) part.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function createShardFile(path: string): ShardFile {
  const file = openSync(path, "wx+", 0o600);
  const places = new Map<string, { readonly at: number; readonly size: number }>();
  let end = 0;
  return {
    add: (hash, content) => {
      if (places.has(hash)) return;
      for (let written = 0; written < content.byteLength;) written += writeSync(file, content, written);
      places.set(hash, { at: end, size: content.byteLength });
      end += content.byteLength;
    },
    read: (hash) => {
      const place = places.get(hash);
      return place && readAt(file, place.at, place.size);
    },
    close: () => closeSync(file),
  };
}
