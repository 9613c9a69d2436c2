// Writes documents to files. Chunks that the previous version of a document also has are copied from its file, because
// copying bytes costs far less than producing them.

import { createLru } from "../../../modules/lru.ts";
import type { DerivedFiles, DerivedPart, DerivedSource } from "../../../modules/storage/derived-files.ts";
import type { Chunk, Composition } from "../segments/compose.ts";
import type { Pause } from "../steps/long-work.ts";

export type DocumentFiles = {
  /** Bytes; undefined when there is no such file. */
  size(folder: string, hash: string): number | undefined;
  /** Returns the size in bytes. */
  write(folder: string, composition: Composition): number;
  writeInSteps(folder: string, composition: Composition): Generator<Pause, number, undefined>;
};

type Extent = { readonly offset: number; readonly byteLength: number };
/** The extents of a file's chunks, by chunk key. */
type FileLayout = { readonly hash: string; readonly extents: Map<string, Extent> };

const CACHED_BYTES = 32 * 1024 ** 2;
const EXTENT_BYTES = 200;

export function createDocumentFiles({ files }: { readonly files: DerivedFiles }): DocumentFiles {
  const layouts = createLru<string, FileLayout>({
    maxEntries: 1000,
    maxBytes: CACHED_BYTES,
    sizeOf: ({ extents }) => extents.size * EXTENT_BYTES,
  });

  function* writeInSteps(folder: string, { hash, chunks }: Composition): Generator<Pause, number, undefined> {
    const previous = layouts.get(folder);
    const source = previous && files.open(folder, previous.hash);
    const layout: FileLayout = { hash, extents: new Map() };
    const draft = files.draft(folder);
    try {
      for (const part of copyOrProduce(chunks(), layout, source && { source, extents: previous.extents })) {
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

type PreviousFile = { readonly source: DerivedSource; readonly extents: FileLayout["extents"] };

function* copyOrProduce(
  chunks: Iterable<Chunk>,
  { extents }: FileLayout,
  previous: PreviousFile | undefined,
): Generator<DerivedPart, void, undefined> {
  let offset = 0;
  for (const { key, bytes } of chunks) {
    const same = key === undefined ? undefined : previous?.extents.get(key);
    const part: DerivedPart = previous && same ? { source: previous.source, ...same } : bytes();
    const { byteLength } = part;
    if (key !== undefined) extents.set(key, { offset, byteLength });
    offset += byteLength;
    yield part;
  }
}
