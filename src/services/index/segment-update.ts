// Brings segments up to the names that have changed.

import type { DerivedPlace } from "../../models/derived-place.ts";
import { filesOfName, type IndexedFile } from "../../models/package-file.ts";
import type { CatchUpParts } from "./catch-up-parts.ts";
import type { Family, Group } from "./families.ts";
import { entryOf } from "./segment-entries.ts";
import { rewriteSegments } from "./segment-rewrite.ts";
import type { Entry } from "./segments.ts";

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

function updateGroup(parts: CatchUpParts, place: DerivedPlace, group: Group, changes: readonly ChangedName[]): void {
  const named = changes.map(({ name, files }) => ({ name, entries: entriesOf(parts, place, group, files) }));
  rewriteSegments(parts.derived, { ...place, group: group.name }, group, named);
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
