// Builds all segments of a scope from scratch, in steps of bounded time.

import { z } from "zod";
import type { IndexScope } from "../../../models/index/scope.ts";
import type { GroupScope, SegmentRow } from "../../../models/index/segments.ts";
import type { CatchUpParts } from "../catch-up/parts.ts";
import type { Group, Layout } from "./layout.ts";
import { entryOf, skipRecords } from "./entries.ts";
import { encodeSegment } from "./encode.ts";
import { createChunker, FIRST, keyOf, parseKey, type Segment } from "./chunking.ts";

/** Where a build resumes: with the entries after `after`; the first is in the segment that starts at `start`. */
const resumePoint = z.object({ group: z.number(), start: z.string(), after: z.string() });
type ResumePoint = Readonly<z.infer<typeof resumePoint>>;
/** `elsewhere`: suffixes of files that had no entry in a group so far, and so can have one in a later group. */
const cursorSchema = resumePoint.extend({ elsewhere: z.array(z.string()) });

const BEGINNING: ResumePoint = { group: 0, start: FIRST, after: "" };
const PAGE = 250;

type BuildParts = Pick<CatchUpParts, "records" | "derived" | "clock" | "budget">;

/** Resumes at `cursor` (empty at first), one group after the other. Returns the next cursor, null at the end. */
export async function buildSegments(
  parts: BuildParts,
  scope: IndexScope,
  layout: Layout,
  cursor: string | null,
): Promise<string | null> {
  const deadline = parts.clock.elapsed() + parts.budget;
  const resumed = cursor ? cursorSchema.parse(JSON.parse(cursor)) : { ...BEGINNING, elsewhere: [] };
  const elsewhere = new Set(resumed.elsewhere);
  let from: ResumePoint = resumed;
  for (; from.group < layout.groups.length; from = { ...BEGINNING, group: from.group + 1 }) {
    const group = layout.groups[from.group];
    // Few channels need an optional group: it costs a pass through all files, so do it only if one has no entry so far.
    if (!group || !(group.always || elsewhere.has(group.ending))) continue;
    const stop = await buildGroup(parts, { ...scope, group: group.name }, { group, from, elsewhere, deadline });
    if (stop) return JSON.stringify({ ...stop, elsewhere: [...elsewhere] });
  }
  return null;
}

type GroupBuild = {
  readonly group: Group;
  readonly from: ResumePoint;
  readonly elsewhere: Set<string>;
  readonly deadline: number;
};

/** Writes a group's segments until its end or the deadline. Returns where it stopped, undefined at the end. */
async function buildGroup(
  parts: BuildParts,
  scope: GroupScope,
  { group, from, elsewhere, deadline }: GroupBuild,
): Promise<ResumePoint | undefined> {
  const { derived, clock, records } = parts;
  const { ending } = group;
  const write = (segment: Segment): void => {
    const row = encodeSegment(segment, NO_KNOWN_ROWS);
    derived.transact(() => derived.replaceSegments(scope, { from: row.start, until: undefined }, [row]));
  };
  const chunker = createChunker(from.start);
  let isEmpty = true;
  const range = { after: parseKey(from.after), ending, limit: PAGE };
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
      if (clock.elapsed() > deadline) return { ...from, start, after: start };
    }
    if (isEmpty && through && clock.elapsed() > deadline) return { ...from, after: keyOf(through) };
  }
  const last = chunker.end();
  if (last) write(last);
  return undefined;
}

const NO_KNOWN_ROWS: ReadonlyMap<string, SegmentRow> = new Map();
