// The segments of entries in memory.

import { createChunker, type Entry, type Segment } from "../../src/services/index/segments/chunking.ts";

export function* cutAll(from: string, entries: Iterable<Entry>): Generator<Segment, void, undefined> {
  const chunker = createChunker(from);
  for (const entry of entries) {
    const segment = chunker.add(entry);
    if (segment) yield segment;
  }
  const rest = chunker.end();
  if (rest) yield rest;
}
