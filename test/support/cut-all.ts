// The segments of entries that are all at hand.

import { createCutter, type Entry, type Segment } from "../../src/services/index/segments/chunking.ts";

export function* cutAll(from: string, entries: Iterable<Entry>): Generator<Segment, void, undefined> {
  const cutter = createCutter(from);
  for (const entry of entries) {
    const segment = cutter.add(entry);
    if (segment) yield segment;
  }
  const rest = cutter.end();
  if (rest) yield rest;
}
