// Writes documents to files. What a document has in common with the one before is copied from its file, as copying bytes
// costs far less than making them.

import { createLru } from "../../../modules/lru.ts";
import type { DerivedFiles, DerivedPart, DerivedSource } from "../../../modules/storage/derived-files.ts";
import type { Chunk, Composition } from "../segments/compose.ts";
import type { Pause } from "../steps/long-work.ts";

export type DocumentFiles = {
  /** Bytes; undefined when there is no such file. */
  size(folder: string, hash: string): number | undefined;
  /** Answers the bytes. */
  write(folder: string, composition: Composition): number;
  writeInSteps(folder: string, composition: Composition): Generator<Pause, number, undefined>;
};

type Stretch = { readonly offset: number; readonly byteLength: number };
/** Where the chunks of a file lie, by their keys. */
type Layout = { readonly hash: string; readonly stretches: Map<string, Stretch> };

const KEPT_BYTES = 32 * 1024 ** 2;
const EXTENT_BYTES = 200;

export function createDocumentFiles({ files }: { readonly files: DerivedFiles }): DocumentFiles {
  const layouts = createLru<string, Layout>({
    maxEntries: 1000,
    maxBytes: KEPT_BYTES,
    sizeOf: ({ stretches }) => stretches.size * EXTENT_BYTES,
  });

  function* writeInSteps(folder: string, { hash, chunks }: Composition): Generator<Pause, number, undefined> {
    const before = layouts.get(folder);
    const source = before && files.open(folder, before.hash);
    const layout: Layout = { hash, stretches: new Map() };
    const draft = files.draft(folder);
    try {
      for (const part of layOut(chunks(), layout, source && { source, stretches: before.stretches })) {
        draft.add(part);
        yield "step";
      }
      const bytes = draft.keep(hash);
      layouts.set(folder, layout);
      return bytes;
    } finally {
      source?.close();
      draft.drop();
    }
  }

  return {
    size: files.size,
    writeInSteps,
    write: (folder, composition) => {
      const steps = writeInSteps(folder, composition);
      for (;;) {
        const step = steps.next();
        if (step.done === true) return step.value;
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
