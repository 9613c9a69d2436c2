// Makes the segments of a scope from nothing, in steps that take a bounded time.

import { z } from "zod";
import type { IndexScope } from "../../../models/index/scope.ts";
import type { GroupScope, SegmentRow } from "../../../models/index/segments.ts";
import type { CatchUpParts } from "../catch-up/parts.ts";
import type { Group, Layout } from "./layout.ts";
import { entryOf, skipRecords } from "./entries.ts";
import { compressed } from "./encode.ts";
import { createChunker, FIRST, keyOf, placeOfKey, type Segment } from "./chunking.ts";

/** Where a build goes on: with the entries after `after`, of which the first is in the segment that begins at `start`. */
const stopAt = z.object({ group: z.number(), start: z.string(), after: z.string() });
type Stop = Readonly<z.infer<typeof stopAt>>;
/** `elsewhere`: the endings of files that have had no entry so far, and so may have one in a group that follows. */
const cursorAt = stopAt.extend({ elsewhere: z.array(z.string()) });

const BEGINNING: Stop = { group: 0, start: FIRST, after: "" };
const PAGE = 250;

type BuildParts = Pick<CatchUpParts, "records" | "derived" | "clock" | "budget">;

/** Goes on from `cursor`, at first the empty one, one group after the other; answers the next, null at the end. */
export async function buildSegments(
  parts: BuildParts,
  scope: IndexScope,
  layout: Layout,
  cursor: string | null,
): Promise<string | null> {
  const deadline = parts.clock.elapsed() + parts.budget;
  const begin = cursor ? cursorAt.parse(JSON.parse(cursor)) : { ...BEGINNING, elsewhere: [] };
  const elsewhere = new Set(begin.elsewhere);
  for (let at: Stop = begin; at.group < layout.groups.length; at = { ...BEGINNING, group: at.group + 1 }) {
    const group = layout.groups[at.group];
    // What few channels have is not worth a pass through all that is of another kind.
    if (!group || !(group.always || elsewhere.has(group.ending))) continue;
    const stop = await buildGroup(parts, { ...scope, group: group.name }, { group, at, elsewhere, deadline });
    if (stop) return JSON.stringify({ ...stop, elsewhere: [...elsewhere] });
  }
  return null;
}

type GroupBuild = {
  readonly group: Group;
  readonly at: Stop;
  readonly elsewhere: Set<string>;
  readonly deadline: number;
};

/** Writes a group's segments until its end or the deadline; answers where it stopped. */
async function buildGroup(
  parts: BuildParts,
  scope: GroupScope,
  { group, at, elsewhere, deadline }: GroupBuild,
): Promise<Stop | undefined> {
  const { derived, clock, records } = parts;
  const { ending } = group;
  const write = (segment: Segment): void => {
    const row = compressed(segment, NOTHING_KNOWN);
    derived.transact(() => derived.replaceSegments(scope, { from: row.start, until: undefined }, [row]));
  };
  const chunker = createChunker(at.start);
  let isEmpty = true;
  const range = { after: placeOfKey(at.after), ending, limit: PAGE };
  for await (const { listed, unreadable, through } of records.ofSection(scope, range)) {
    skipRecords(derived, scope, unreadable);
    for (const file of listed) {
      const entry = entryOf(derived, scope, group, file);
      if (!entry) {
        elsewhere.add(ending);
        continue;
      }
      isEmpty = false;
      const segment = chunker.add(entry);
      if (!segment) continue;
      write(segment);
      const { start } = chunker;
      if (clock.elapsed() > deadline) return { ...at, start, after: start };
    }
    if (isEmpty && through && clock.elapsed() > deadline) return { ...at, after: keyOf(through) };
  }
  const rest = chunker.end();
  if (rest) write(rest);
  return undefined;
}

const NOTHING_KNOWN: ReadonlyMap<string, SegmentRow> = new Map();
