// Updates segments for a long name: its entries are never in memory together, and the update can take several steps.

import { z } from "zod";
import type { IndexScope } from "../../../models/index/scope.ts";
import type { GroupScope } from "../../../models/index/segments.ts";
import type { Derived } from "../../../models/index/db.ts";
import type { CatchUpParts } from "../catch-up/parts.ts";
import type { Group, Layout } from "./layout.ts";
import { entriesIn, entryOf, skipRecords } from "./entries.ts";
import { hadEntries, rewriteFrom } from "./rewrite.ts";
import { encodeSegment, textOf } from "./encode.ts";
import { createChunker, FIRST, keyAfterName, keyBeforeName, keyOf, parseKey, type Segment } from "./chunking.ts";

/** Where the update resumes: with the files after `after`; the first is in the segment that starts at `start`. */
const resumePoint = z.object({ group: z.number(), start: z.string(), after: z.string() });
type ResumePoint = Readonly<z.infer<typeof resumePoint>>;

type LongName = { readonly name: string; readonly within: string | undefined; readonly isLate: () => boolean };

/** Resumes at `within`. Returns where it stopped, undefined at the end. */
export async function updateLongName(
  parts: CatchUpParts,
  scope: IndexScope,
  layout: Layout,
  { name, within, isLate }: LongName,
): Promise<string | undefined> {
  const resumed = within === undefined ? undefined : resumePoint.parse(JSON.parse(within));
  for (const [index, group] of layout.groups.entries()) {
    if (resumed && index < resumed.group) continue;
    const target = { ...scope, group: group.name };
    const from = resumed?.group === index ? resumed : beginningOf(parts, target, { group: index, name });
    const stop = await updateGroup(parts, target, { group, from, name, isLate });
    if (stop) return JSON.stringify(stop);
  }
  return undefined;
}

function beginningOf(
  { derived }: CatchUpParts,
  target: GroupScope,
  { group, name }: { readonly group: number; readonly name: string },
): ResumePoint {
  const after = keyBeforeName(name);
  return { group, start: derived.segmentAt(target, after)?.start ?? FIRST, after };
}

type GroupUpdate = Pick<LongName, "name" | "isLate"> & { readonly group: Group; readonly from: ResumePoint };

async function updateGroup(
  { derived, records }: CatchUpParts,
  target: GroupScope,
  { group, from, name, isLate }: GroupUpdate,
): Promise<ResumePoint | undefined> {
  const end = keyAfterName(name);
  const chunker = createChunker(from.start);
  const write = (segment: Segment | undefined, until: string): void => {
    detachFollowers(derived, target, group, name);
    const range = { from: segment?.start ?? chunker.start, until };
    derived.transact(() => derived.replaceSegments(target, range, rowsOf(derived, target, segment)));
  };
  const stored = derived.segmentAt(target, from.start);
  const entries = stored?.start === from.start ? entriesIn(textOf(stored).toString(), group) : [];
  for (const entry of entries) if (entry.packageName < name) chunker.add(entry);
  let isFound = false;
  const range = { after: parseKey(from.after)?.fileName, ending: group.ending };
  for await (const { listed, unreadable, through } of records.ofName(target, name, range)) {
    skipRecords(derived, target, unreadable);
    for (const file of listed) {
      const entry = entryOf(derived, target, group, file);
      if (!entry) continue;
      isFound = true;
      const segment = chunker.add(entry);
      if (!segment) continue;
      write(segment, chunker.start);
      if (isLate()) return { ...from, start: chunker.start, after: chunker.start };
    }
    if (!isFound && through && isLate()) return { ...from, after: keyOf(through) };
  }
  if (!isFound && !hadEntries(derived, target, name)) return undefined;
  write(chunker.end(), end);
  // Rewrite the segments that follow, up to the first boundary that is unchanged.
  rewriteFrom(derived, target, { keys: group, start: chunker.start, temporary: end }, []);
  return undefined;
}

/** Moves the entries that follow a name in its last segment to a segment of their own, before that is overwritten. */
function detachFollowers(derived: Derived, target: GroupScope, group: Group, name: string): void {
  const start = keyAfterName(name);
  const last = derived.segmentAt(target, start);
  if (!last || last.start === start) return;
  const followers = entriesIn(textOf(last).toString(), group).filter(({ packageName }) => packageName > name);
  if (followers.length === 0) return;
  const row = encodeSegment({ start, text: followers.map(({ text }) => text).join(",") }, new Map());
  const until = derived.segmentAfter(target, start)?.start;
  derived.transact(() => derived.replaceSegments(target, { from: start, until }, [row]));
}

/** A segment as a row; the stored row at its start is reused if the text is equal. */
function rowsOf(
  derived: Derived,
  target: GroupScope,
  segment: Segment | undefined,
): ReturnType<typeof encodeSegment>[] {
  if (!segment) return [];
  const stored = derived.segmentAt(target, segment.start);
  return [encodeSegment(segment, new Map(stored ? [[stored.hash, stored]] : []))];
}
