// Makes segments anew around names that have changed: their entries are given, those around them are taken over.

import type { Derived } from "../../../models/index/db.ts";
import type { GroupScope, SegmentRow } from "../../../models/index/segments.ts";
import type { Group } from "./layout.ts";
import { entriesIn } from "./entries.ts";
import { compressed, textOf } from "./encode.ts";
import { createChunker, FIRST, keyAfterName, keyBeforeName, keyOf, type Entry, type Segment } from "./chunking.ts";

/** All that a group has of a name now. */
export type ChangedEntries = { readonly name: string; readonly entries: readonly Entry[] };

type Store = Pick<Derived, "segmentAt" | "segmentAfter" | "replaceSegments" | "transact">;
type Keys = Pick<Group, "fileOf">;

/** `changes` are in the order of their names. Answers those that are left once it is late, which are never all. */
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

/** Most names have files in one group only, and a look is cheaper than taking segments apart. */
export function hadEntries(derived: Store, target: GroupScope, name: string): boolean {
  for (const row of segmentsFrom(derived, target, keyBeforeName(name))) {
    if (row.start >= keyAfterName(name)) return false;
    if (textOf(row).includes(`"${name}-`)) return true;
  }
  return false;
}

/**
 * Makes segments anew from the one in which the first of the names stands, until there is a cut where there was one before:
 * what follows depends on nothing before a cut, so it stays as it is up to the next name that has changed. Answers the
 * names from there on. A segment that begins at `passing` begins there for the moment only.
 */
export function rewriteFrom(
  derived: Store,
  target: GroupScope,
  { keys, start, passing }: { readonly keys: Keys; readonly start: string; readonly passing?: string },
  changes: readonly ChangedEntries[],
): ChangedEntries[] {
  const changed = new Set(changes.map(({ name }) => name));
  const known = new Map<string, SegmentRow>();
  function* others(): Generator<PlacedEntry, void, undefined> {
    for (const row of segmentsFrom(derived, target, start)) {
      if (row.start < start) continue;
      known.set(row.hash, row);
      for (const [at, entry] of entriesIn(textOf(row).toString(), keys).entries())
        if (!changed.has(entry.packageName))
          yield { entry, opens: at === 0 && row.start !== passing ? row.start : undefined };
    }
  }
  const fresh = changes.flatMap(({ entries }) => entries);
  const segments: Segment[] = [];
  const chunker = createChunker(start);
  let until: string | undefined;
  let rest: ChangedEntries[] = [];
  for (const { entry, opens } of merged(others(), fresh)) {
    const segment = chunker.add(entry);
    if (segment) segments.push(segment);
    if (!segment || opens !== chunker.start) continue;
    until = opens;
    rest = changes.filter(({ name }) => keyBeforeName(name) > keyOf(entry));
    break;
  }
  const last = until === undefined ? chunker.end() : undefined;
  if (last) segments.push(last);
  const rows = segments.map((segment) => compressed(segment, known));
  derived.transact(() => derived.replaceSegments(target, { from: start, until }, rows));
  return rest;
}

/** From the segment on in which an entry with this key stands or would stand. */
function* segmentsFrom(derived: Store, target: GroupScope, key: string): Generator<SegmentRow, void, undefined> {
  for (let row = derived.segmentAt(target, key); row; row = derived.segmentAfter(target, row.start)) yield row;
}

/** An entry, and the start of the segment that it is the first of. */
type PlacedEntry = { readonly entry: Entry; readonly opens: string | undefined };

/** Each of the two is in the order of keys. */
function* merged(some: Iterable<PlacedEntry>, more: readonly Entry[]): Generator<PlacedEntry, void, undefined> {
  let at = 0;
  for (const placed of some) {
    for (let next = more[at]; next && keyOf(next) < keyOf(placed.entry); next = more[at]) {
      yield { entry: next, opens: undefined };
      at += 1;
    }
    yield placed;
  }
  for (const entry of more.slice(at)) yield { entry, opens: undefined };
}
