// Makes the segments of a place from nothing, in steps that take a bounded time.

import type { DerivedPlace } from "../../models/derived-place.ts";
import type { SegmentRow } from "../../models/derived-segments.ts";
import { pageOfSection, type IndexedFile } from "../../models/package-file.ts";
import type { CatchUpParts } from "./catch-up-parts.ts";
import type { Family, Group } from "./families.ts";
import { entryOf } from "./segment-entries.ts";
import { compressed } from "./segment-rows.ts";
import { createCutter, FIRST, keyOf, placeOfKey, type Beginning, type Segment } from "./segments.ts";

/** Where a build goes on: with the entries after `after`, of which the first begins a segment. */
type Cursor = { readonly group: number; readonly begin: Beginning; readonly after: string };

const BEGINNING: Cursor = { group: 0, begin: FIRST, after: "" };
const PAGE = 250;

/** Goes on from `cursor`, at first the empty one, one group after the other; answers the next, null at the end. */
export async function buildSegments(
  parts: CatchUpParts,
  place: DerivedPlace,
  family: Family,
  cursor: string | null,
): Promise<string | null> {
  const deadline = parts.clock.elapsed() + parts.budget;
  const begin: Cursor = cursor ? JSON.parse(cursor) : BEGINNING;
  let stopped: Cursor | undefined;
  for (let at = begin; !stopped && at.group < family.groups.length; at = { ...BEGINNING, group: at.group + 1 }) {
    stopped = await buildGroup(parts, place, family, at, deadline);
  }
  return stopped ? JSON.stringify(stopped) : null;
}

/** Writes a group's segments until its end or the deadline; answers where it stopped. */
async function buildGroup(
  parts: CatchUpParts,
  place: DerivedPlace,
  family: Family,
  cursor: Cursor,
  deadline: number,
): Promise<Cursor | undefined> {
  const { derived, clock } = parts;
  const group = family.groups[cursor.group];
  if (!group) return undefined;
  const target = { ...place, group: group.name };
  const write = (segment: Segment): void => {
    const row = compressed(segment, NOTHING_KNOWN);
    derived.transact(() => derived.replaceSegments(target, { from: row.start, until: undefined }, [row]));
  };
  const cutter = createCutter(cursor.begin);
  let isEmpty = true;
  for await (const file of filesAfter(parts, place, group, cursor.after)) {
    const entry = entryOf(derived, place, group, file);
    if (entry) {
      const segment = cutter.add(entry);
      isEmpty = false;
      if (!segment) continue;
      write(segment);
      const { begin } = cutter;
      if (clock.elapsed() > deadline) return { ...cursor, begin, after: begin.start };
    } else if (isEmpty && clock.elapsed() > deadline) {
      return { ...cursor, after: keyOf(file) };
    }
  }
  const rest = cutter.end();
  if (rest) write(rest);
  return undefined;
}

const NOTHING_KNOWN: ReadonlyMap<string, SegmentRow> = new Map();

async function* filesAfter(
  { reader }: CatchUpParts,
  place: DerivedPlace,
  { ending }: Group,
  key: string,
): AsyncGenerator<IndexedFile, void, undefined> {
  let after = placeOfKey(key);
  for (;;) {
    const page = await pageOfSection(reader, { ...place, after, ending, limit: PAGE });
    for (const file of page) if (file.state === "active") yield file;
    if (page.length < PAGE) return;
    after = page.at(-1);
  }
}
