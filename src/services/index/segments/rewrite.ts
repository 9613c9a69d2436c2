// Rewrites segments around changed names: the caller passes their entries, and all other entries are taken over.

import type { Derived } from "../../../models/index/db.ts";
import type { GroupScope, SegmentRow } from "../../../models/index/segments.ts";
import type { Group } from "./layout.ts";
import { entriesIn } from "./entries.ts";
import { encodeSegment, textOf } from "./encode.ts";
import { createChunker, FIRST, keyAfterName, keyBeforeName, keyOf, type Entry, type Segment } from "./chunking.ts";

/** All current entries of a name in a group. */
export type ChangedEntries = { readonly name: string; readonly entries: readonly Entry[] };

type Store = Pick<Derived, "segmentAt" | "segmentAfter" | "replaceSegments" | "transact">;
type Keys = Pick<Group, "fileOf">;

/** `changes` are ordered by name. When it is late, returns the remaining ones, but always finishes at least one. */
export function rewriteSegments(
  derived: Store,
  target: GroupScope,
  keys: Keys,
  changes: readonly ChangedEntries[],
  isLate: () => boolean = () => false,
): readonly ChangedEntries[] {
  let left = changes;
  for (let [first] = left; first; [first] = left) {
    if (first.entries.length > 0 || hadEntries(derived, target, first.name)) {
      const start = derived.segmentAt(target, keyBeforeName(first.name))?.start ?? FIRST;
      left = rewriteFrom(derived, target, { keys, start }, left);
    } else {
      left = left.slice(1);
    }
    if (isLate()) break;
  }
  return left;
}

/** Whether the stored text mentions a name: most names are in one group only, and a search is cheaper than parsing. */
export function hadEntries(derived: Store, target: GroupScope, name: string): boolean {
  for (const row of segmentsFrom(derived, target, keyBeforeName(name))) {
    if (row.start >= keyAfterName(name)) return false;
    if (textOf(row).includes(`"${name}-`)) return true;
  }
  return false;
}

/**
 * Rewrites segments from `start`, the start of the segment with the first changed name, until a new boundary equals a
 * stored one. Segments after a boundary do not depend on what precedes it, so they stay unchanged up to the next
 * changed name. Returns the changes from there on. A stored boundary at `temporary` is not final and does not count.
 */
export function rewriteFrom(
  derived: Store,
  target: GroupScope,
  { keys, start, temporary }: { readonly keys: Keys; readonly start: string; readonly temporary?: string },
  changes: readonly ChangedEntries[],
): ChangedEntries[] {
  const changed = new Set(changes.map(({ name }) => name));
  const known = new Map<string, SegmentRow>();
  function* unchanged(): Generator<StoredEntry, void, undefined> {
    for (const row of segmentsFrom(derived, target, start)) {
      if (row.start < start) continue;
      known.set(row.hash, row);
      for (const [at, entry] of entriesIn(textOf(row).toString(), keys).entries())
        if (!changed.has(entry.packageName))
          yield { entry, segmentStart: at === 0 && row.start !== temporary ? row.start : undefined };
    }
  }
  const changedEntries = changes.flatMap(({ entries }) => entries);
  const segments: Segment[] = [];
  const chunker = createChunker(start);
  let until: string | undefined;
  let remaining: ChangedEntries[] = [];
  for (const { entry, segmentStart } of merged(unchanged(), changedEntries)) {
    const segment = chunker.add(entry);
    if (segment) segments.push(segment);
    if (!segment || segmentStart !== chunker.start) continue;
    until = segmentStart;
    remaining = changes.filter(({ name }) => keyBeforeName(name) > keyOf(entry));
    break;
  }
  const last = until === undefined ? chunker.end() : undefined;
  if (last) segments.push(last);
  const rows = segments.map((segment) => encodeSegment(segment, known));
  derived.transact(() => derived.replaceSegments(target, { from: start, until }, rows));
  return remaining;
}

/** The segments from the one on that does or would contain an entry with this key. */
function* segmentsFrom(derived: Store, target: GroupScope, key: string): Generator<SegmentRow, void, undefined> {
  for (let row = derived.segmentAt(target, key); row; row = derived.segmentAfter(target, row.start)) yield row;
}

/** An entry, and the start of its stored segment if it is the first entry there. */
type StoredEntry = { readonly entry: Entry; readonly segmentStart: string | undefined };

/** Merges two sequences of entries, each ordered by key. */
function* merged(stored: Iterable<StoredEntry>, changed: readonly Entry[]): Generator<StoredEntry, void, undefined> {
  let at = 0;
  for (const placed of stored) {
    for (let next = changed[at]; next && keyOf(next) < keyOf(placed.entry); next = changed[at]) {
      yield { entry: next, segmentStart: undefined };
      at += 1;
    }
    yield placed;
  }
  for (const entry of changed.slice(at)) yield { entry, segmentStart: undefined };
}
