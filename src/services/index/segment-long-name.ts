// Brings segments up to a name of which much is said: its entries are never held together, and it may take several steps.

import { z } from "zod";
import type { DerivedPlace } from "../../models/derived-place.ts";
import type { SegmentPlace } from "../../models/derived-segments.ts";
import type { Derived } from "../../models/derived.ts";
import { pagesOfName } from "../../models/package-file.ts";
import type { CatchUpParts } from "./catch-up-parts.ts";
import type { Family, Group } from "./families.ts";
import { entriesIn, entryOf } from "./segment-entries.ts";
import { hadEntries, rewriteFrom } from "./segment-rewrite.ts";
import { compressed, textOf } from "./segment-rows.ts";
import { createCutter, FIRST, keyAfterName, keyBeforeName, keyOf, placeOfKey, type Segment } from "./segments.ts";

/** Where it goes on: with the files after `after`, of which the first is in the segment that begins at `start`. */
const stopAt = z.object({ group: z.number(), start: z.string(), after: z.string() });
type Stop = Readonly<z.infer<typeof stopAt>>;

type LongName = { readonly name: string; readonly within: string | undefined; readonly isLate: () => boolean };

/** Goes on from `within`; answers where it stopped, undefined at the end. */
export async function updateLongName(
  parts: CatchUpParts,
  place: DerivedPlace,
  family: Family,
  { name, within, isLate }: LongName,
): Promise<string | undefined> {
  const resumed = within === undefined ? undefined : stopAt.parse(JSON.parse(within));
  for (const [at, group] of family.groups.entries()) {
    if (resumed && at < resumed.group) continue;
    const target = { ...place, group: group.name };
    const begin = resumed?.group === at ? resumed : beginningOf(parts, target, { group: at, name });
    const stop = await updateGroup(parts, target, { group, begin, name, isLate });
    if (stop) return JSON.stringify(stop);
  }
  return undefined;
}

function beginningOf(
  { derived }: CatchUpParts,
  target: SegmentPlace,
  { group, name }: { readonly group: number; readonly name: string },
): Stop {
  const after = keyBeforeName(name);
  return { group, start: derived.segmentAt(target, after)?.start ?? FIRST, after };
}

type GroupUpdate = Pick<LongName, "name" | "isLate"> & { readonly group: Group; readonly begin: Stop };

async function updateGroup(
  { derived, reader }: CatchUpParts,
  target: SegmentPlace,
  { group, begin, name, isLate }: GroupUpdate,
): Promise<Stop | undefined> {
  const end = keyAfterName(name);
  const cutter = createCutter(begin.start);
  const write = (segment: Segment | undefined, until: string): void => {
    keepFollowers(derived, target, group, name);
    const from = segment?.start ?? cutter.start;
    derived.transact(() => derived.replaceSegments(target, { from, until }, rowsOf(derived, target, segment)));
  };
  const open = derived.segmentAt(target, begin.start);
  const before = open?.start === begin.start ? entriesIn(textOf(open).toString(), group) : [];
  for (const entry of before) if (entry.packageName < name) cutter.add(entry);
  let isFound = false;
  for await (const files of pagesOfName(reader, target, name, placeOfKey(begin.after)?.fileName)) {
    for (const file of files) {
      if (file.state !== "active" || !file.fileName.endsWith(group.ending)) continue;
      const entry = entryOf(derived, target, group, file);
      if (!entry) continue;
      isFound = true;
      const segment = cutter.add(entry);
      if (!segment) continue;
      write(segment, cutter.start);
      if (isLate()) return { ...begin, start: cutter.start, after: cutter.start };
    }
    const last = files.at(-1);
    if (!isFound && last && isLate()) return { ...begin, after: keyOf(last) };
  }
  if (!isFound && !hadEntries(derived, target, name)) return undefined;
  write(cutter.end(), end);
  // What follows is cut anew up to where there is a cut as before.
  rewriteFrom(derived, target, { keys: group, start: cutter.start, passing: end }, []);
  return undefined;
}

/** What follows a name in the segment of its last entries gets one of its own, before that is written over. */
function keepFollowers(derived: Derived, target: SegmentPlace, group: Group, name: string): void {
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
function rowsOf(derived: Derived, target: SegmentPlace, segment: Segment | undefined): ReturnType<typeof compressed>[] {
  if (!segment) return [];
  const stored = derived.segmentAt(target, segment.start);
  return [compressed(segment, new Map(stored ? [[stored.hash, stored]] : []))];
}
