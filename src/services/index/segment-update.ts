// Brings segments up to what has changed: the entries of changed names are made anew, those around them are taken over.

import type { DerivedPlace } from "../../models/derived-place.ts";
import type { SegmentPlace } from "../../models/derived-segments.ts";
import { filesOfName, type IndexedFile } from "../../models/package-file.ts";
import type { CatchUpParts } from "./catch-up-parts.ts";
import type { Family, Group } from "./families.ts";
import { entriesIn, entryOf } from "./segment-entries.ts";
import { compressed, textOf } from "./segment-rows.ts";
import { cutAll, keyAfterName, keyBeforeName, keyOf, type Entry } from "./segments.ts";

/** So many names and files are held at a time. */
const NAMES_AT_ONCE = 100;
const FILES_AT_ONCE = 5000;

/** `names` are in their order. */
export async function updateSegments(
  parts: CatchUpParts,
  place: DerivedPlace,
  family: Family,
  names: readonly string[],
): Promise<void> {
  const { derived } = parts;
  let held: ChangedName[] = [];
  let files = 0;
  const flush = (): void => {
    for (const group of family.groups) updateGroup(parts, place, group, held);
    held = [];
    files = 0;
  };
  for (const name of names) {
    if (derived.isAside(place, name)) derived.transact(() => derived.clearAside(place, name));
    const active = (await filesOfName(parts.reader, place, name)).filter((file) => file.state === "active");
    held.push({ name, files: active });
    files += active.length;
    if (held.length >= NAMES_AT_ONCE || files >= FILES_AT_ONCE) flush();
  }
  flush();
}

type ChangedName = { readonly name: string; readonly files: readonly IndexedFile[] };
type ChangedEntries = { readonly name: string; readonly entries: readonly Entry[] };

function updateGroup(parts: CatchUpParts, place: DerivedPlace, group: Group, changes: readonly ChangedName[]): void {
  const { derived } = parts;
  const target = { ...place, group: group.name };
  const concerned = changes
    .map(({ name, files }): ChangedEntries => ({ name, entries: entriesOf(parts, place, group, files) }))
    .filter(({ name, entries }) => entries.length > 0 || hadEntries(parts, target, name));
  for (let at = 0; at < concerned.length;) {
    const name = concerned[at]?.name ?? "";
    const from = derived.naturalStartBefore(target, keyBeforeName(name));
    const until = derived.naturalStartAfter(target, keyAfterName(name));
    const beyond = concerned.findIndex(
      (one, index) => index > at && until !== undefined && keyAfterName(one.name) >= until,
    );
    const end = beyond === -1 ? concerned.length : beyond;
    rewriteRange(parts, target, { group, from, until }, concerned.slice(at, end));
    at = end;
  }
}

function entriesOf(
  { derived }: CatchUpParts,
  place: DerivedPlace,
  group: Group,
  files: readonly IndexedFile[],
): Entry[] {
  return files.flatMap((file) => {
    if (!file.fileName.endsWith(group.ending)) return [];
    return entryOf(derived, place, group, file) ?? [];
  });
}

/** Most names have files in one group only, and a look is cheaper than taking segments apart. */
function hadEntries({ derived }: CatchUpParts, target: SegmentPlace, name: string): boolean {
  const around = derived.segmentsAround(target, keyBeforeName(name), keyAfterName(name));
  return around.some((row) => textOf(row).includes(`"${name}-`));
}

type Range = { readonly group: Group; readonly from: string; readonly until: string | undefined };

/** Both ends are natural boundaries that no change within can move. The names lie within the range. */
function rewriteRange(
  { derived }: CatchUpParts,
  target: SegmentPlace,
  { group, from, until }: Range,
  changes: readonly ChangedEntries[],
): void {
  const rows = derived.segmentsIn(target, from, until);
  const known = new Map(rows.map((row) => [row.hash, row]));
  const changed = new Set(changes.map(({ name }) => name));
  const others = rows
    .flatMap((row) => entriesIn(textOf(row).toString(), group))
    .filter(({ packageName }) => !changed.has(packageName));
  const fresh = changes.flatMap(({ entries }) => entries);
  const segments = cutAll({ start: from, natural: true }, merged(others, fresh));
  const fresher = [...segments].map((segment) => compressed(segment, known));
  derived.transact(() => derived.replaceSegments(target, { from, until }, fresher));
}

/** Each of the two is in the order of keys. */
function* merged(some: readonly Entry[], more: readonly Entry[]): Generator<Entry, void, undefined> {
  let at = 0;
  for (const entry of some) {
    for (let next = more[at]; next && keyOf(next) < keyOf(entry); next = more[at]) {
      yield next;
      at += 1;
    }
    yield entry;
  }
  yield* more.slice(at);
}
