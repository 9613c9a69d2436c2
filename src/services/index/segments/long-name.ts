// Brings segments up to a name of which much is said: its entries are never held together, and it may take several steps.

import { z } from "zod";
import type { IndexScope } from "../../../models/index/scope.ts";
import type { GroupScope } from "../../../models/index/segments.ts";
import type { Derived } from "../../../models/index/db.ts";
import type { CatchUpParts } from "../catch-up/parts.ts";
import type { Group, Layout } from "./layout.ts";
import { entriesIn, entryOf, skipRecords } from "./entries.ts";
import { hadEntries, rewriteFrom } from "./rewrite.ts";
import { compressed, textOf } from "./encode.ts";
import { createChunker, FIRST, keyAfterName, keyBeforeName, keyOf, placeOfKey, type Segment } from "./chunking.ts";

/** Where it goes on: with the files after `after`, of which the first is in the segment that begins at `start`. */
const stopAt = z.object({ group: z.number(), start: z.string(), after: z.string() });
type Stop = Readonly<z.infer<typeof stopAt>>;

type LongName = { readonly name: string; readonly within: string | undefined; readonly isLate: () => boolean };

/** Goes on from `within`; answers where it stopped, undefined at the end. */
export async function updateLongName(
  parts: CatchUpParts,
  scope: IndexScope,
  layout: Layout,
  { name, within, isLate }: LongName,
): Promise<string | undefined> {
  const resumed = within === undefined ? undefined : stopAt.parse(JSON.parse(within));
  for (const [at, group] of layout.groups.entries()) {
    if (resumed && at < resumed.group) continue;
    const target = { ...scope, group: group.name };
    const begin = resumed?.group === at ? resumed : beginningOf(parts, target, { group: at, name });
    const stop = await updateGroup(parts, target, { group, begin, name, isLate });
    if (stop) return JSON.stringify(stop);
  }
  return undefined;
}

function beginningOf(
  { derived }: CatchUpParts,
  target: GroupScope,
  { group, name }: { readonly group: number; readonly name: string },
): Stop {
  const after = keyBeforeName(name);
  return { group, start: derived.segmentAt(target, after)?.start ?? FIRST, after };
}

type GroupUpdate = Pick<LongName, "name" | "isLate"> & { readonly group: Group; readonly begin: Stop };

async function updateGroup(
  { derived, records }: CatchUpParts,
  target: GroupScope,
  { group, begin, name, isLate }: GroupUpdate,
): Promise<Stop | undefined> {
  const end = keyAfterName(name);
  const chunker = createChunker(begin.start);
  const write = (segment: Segment | undefined, until: string): void => {
    keepFollowers(derived, target, group, name);
    const from = segment?.start ?? chunker.start;
    derived.transact(() => derived.replaceSegments(target, { from, until }, rowsOf(derived, target, segment)));
  };
  const open = derived.segmentAt(target, begin.start);
  const before = open?.start === begin.start ? entriesIn(textOf(open).toString(), group) : [];
  for (const entry of before) if (entry.packageName < name) chunker.add(entry);
  let isFound = false;
  const range = { begin: placeOfKey(begin.after)?.fileName, ending: group.ending };
  for await (const { listed, unreadable, through } of records.ofName(target, name, range)) {
    skipRecords(derived, target, unreadable);
    for (const file of listed) {
      const entry = entryOf(derived, target, group, file);
      if (!entry) continue;
      isFound = true;
      const segment = chunker.add(entry);
      if (!segment) continue;
      write(segment, chunker.start);
      if (isLate()) return { ...begin, start: chunker.start, after: chunker.start };
    }
    if (!isFound && through && isLate()) return { ...begin, after: keyOf(through) };
  }
  if (!isFound && !hadEntries(derived, target, name)) return undefined;
  write(chunker.end(), end);
  // What follows is cut anew up to where there is a cut as before.
  rewriteFrom(derived, target, { keys: group, start: chunker.start, passing: end }, []);
  return undefined;
}

/** What follows a name in the segment of its last entries gets one of its own, before that is written over. */
function keepFollowers(derived: Derived, target: GroupScope, group: Group, name: string): void {
  const start = keyAfterName(name);
  const last = derived.segmentAt(target, start);
  if (!last || last.start === start) return;
  const followers = entriesIn(textOf(last).toString(), group).filter(({ packageName }) => packageName > name);
  if (followers.length === 0) return;
  const row = compressed({ start, text: followers.map(({ text }) => text).join(",") }, new Map());
  const until = derived.segmentAfter(target, start)?.start;
  derived.transact(() => derived.replaceSegments(target, { from: start, until }, [row]));
}

/** A segment as a row: what is stored in its place is taken if it is the same. */
function rowsOf(derived: Derived, target: GroupScope, segment: Segment | undefined): ReturnType<typeof compressed>[] {
  if (!segment) return [];
  const stored = derived.segmentAt(target, segment.start);
  return [compressed(segment, new Map(stored ? [[stored.hash, stored]] : []))];
}
