// Writes documents to files. What a document has in common with the one before is copied from its file, as copying bytes
// costs far less than making them.

import { createLru } from "../../modules/lru.ts";
import type { DerivedFiles, DerivedPart, DerivedSource } from "../../modules/storage/derived-files.ts";
import type { Chunk, Composition } from "./compose.ts";

export type DocumentFiles = {
  /** Bytes; undefined when there is no such file. */
  size(folder: string, hash: string): number | undefined;
  /** Answers the bytes. */
  write(folder: string, composition: Composition): number;
};

type Stretch = { readonly offset: number; readonly byteLength: number };
/** Where the chunks of a file lie, by their keys. */
type Layout = { readonly hash: string; readonly stretches: Map<string, Stretch> };

const KEPT_BYTES = 32 * 1024 ** 2;
const STRETCH_BYTES = 200;

export function createDocumentFiles({ files }: { readonly files: DerivedFiles }): DocumentFiles {
  const layouts = createLru<string, Layout>({
    maxEntries: 1000,
    maxBytes: KEPT_BYTES,
    sizeOf: ({ stretches }) => stretches.size * STRETCH_BYTES,
  });
  return {
    size: files.size,
    write: (folder, { hash, chunks }) => {
      const before = layouts.get(folder);
      const source = before && files.open(folder, before.hash);
      const layout: Layout = { hash, stretches: new Map() };
      try {
        const parts = layOut(chunks(), layout, source && { source, stretches: before.stretches });
        const bytes = files.write(folder, hash, parts);
        layouts.set(folder, layout);
        return bytes;
      } finally {
        source?.close();
      }
    },
  };
}

type Before = { readonly source: DerivedSource; readonly stretches: Layout["stretches"] };

function* layOut(
  chunks: Iterable<Chunk>,
  { stretches }: Layout,
  before: Before | undefined,
): Generator<DerivedPart, void, undefined> {
  let offset = 0;
  for (const { key, bytes } of chunks) {
    const same = key === undefined ? undefined : before?.stretches.get(key);
    const part: DerivedPart = before && same ? { source: before.source, ...same } : bytes();
    const { byteLength } = part;
    if (key !== undefined) stretches.set(key, { offset, byteLength });
    offset += byteLength;
    yield part;
  }
}
