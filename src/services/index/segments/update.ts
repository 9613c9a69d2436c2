// Brings segments up to the names that have changed, in steps that take a bounded time.

import type { IndexScope } from "../../../models/index/scope.ts";
import type { IndexedFile } from "../../../models/package-file.ts";
import type { CatchUpParts } from "../catch-up/parts.ts";
import type { Group, Layout } from "./layout.ts";
import { entryOf, skipRecords } from "./entries.ts";
import { rewriteSegments, type ChangedEntries } from "./rewrite.ts";
import { updateLongName } from "./long-name.ts";
import { cursorOf, type Update } from "../catch-up/cursor.ts";

/** So many names are held at a time, and so many bytes of what is said of them. A name of more is a long one. */
const NAMES_AT_ONCE = 100;
const HELD_BYTES = 1024 ** 2;

type Names = {
  /** All that have changed, in their order. */
  readonly names: readonly string[];
  readonly update: Update;
};

/** Goes on where the update has stopped; answers the next cursor, null at the end. */
export async function updateSegments(
  parts: CatchUpParts,
  scope: IndexScope,
  layout: Layout,
  { names, update }: Names,
): Promise<string | null> {
  const { derived, clock } = parts;
  const deadline = clock.elapsed() + parts.budget;
  const isLate = (): boolean => clock.elapsed() > deadline;
  const last = names.at(-1) ?? "";
  let { after, within } = update;
  while (after < last) {
    const left = names.filter((name) => name > after);
    // What was set aside of a name that is done in part stays told.
    for (const name of left.slice(0, NAMES_AT_ONCE))
      if (name !== within?.name && derived.isSkipped(scope, name))
        derived.transact(() => derived.clearSkipped(scope, name));
    const held = within ? [] : await holdNames(parts, scope, left);
    if (held.length > 0) {
      after = updateNames(parts, scope, layout, held, isLate);
    } else {
      // What is done in part comes first, as segments around it are not as they will be.
      const name = within?.name ?? left[0] ?? "";
      const stop = await updateLongName(parts, scope, layout, { name, within: within?.stop, isLate });
      if (stop !== undefined) return cursorOf({ since: update.since, after, within: { name, stop } });
      within = undefined;
      if (name === left[0]) after = name;
    }
    if (after < last && isLate()) return cursorOf({ since: update.since, after });
  }
  return null;
}

type ChangedName = { readonly name: string; readonly files: readonly IndexedFile[] };

/** The first names, up to a long one. */
async function holdNames(
  { records, derived }: CatchUpParts,
  scope: IndexScope,
  names: readonly string[],
): Promise<ChangedName[]> {
  const held: ChangedName[] = [];
  let bytes = 0;
  for (const name of names.slice(0, NAMES_AT_ONCE)) {
    bytes += await records.bytesOfName(scope, name);
    if (bytes > HELD_BYTES) break;
    const files: IndexedFile[] = [];
    for await (const { listed, unreadable } of records.ofName(scope, name)) {
      skipRecords(derived, scope, unreadable);
      files.push(...listed);
    }
    held.push({ name, files });
  }
  return held;
}

/** Answers the last name that is done in all groups. */
function updateNames(
  parts: CatchUpParts,
  scope: IndexScope,
  layout: Layout,
  held: readonly ChangedName[],
  isLate: () => boolean,
): string {
  let names = held;
  for (const group of layout.groups) {
    const changes = names.map(({ name, files }): ChangedEntries => ({
      name,
      entries: entriesOf(parts, scope, group, files),
    }));
    const left = rewriteSegments(parts.derived, { ...scope, group: group.name }, group, changes, isLate);
    names = names.slice(0, names.length - left.length);
  }
  return names.at(-1)?.name ?? "";
}

function entriesOf(
  { derived }: CatchUpParts,
  scope: IndexScope,
  group: Group,
  files: readonly IndexedFile[],
): ChangedEntries["entries"] {
  return files.flatMap((file) => {
    if (!file.fileName.endsWith(group.ending)) return [];
    return entryOf(derived, scope, group, file) ?? [];
  });
}
