// Updates segments for changed names, in steps of bounded time.

import type { IndexScope } from "../../../models/index/scope.ts";
import type { IndexedFile } from "../../../models/indexed-file.ts";
import type { CatchUpParts } from "../catch-up/parts.ts";
import type { Group, Layout } from "./layout.ts";
import { entryOf, skipRecords } from "./entries.ts";
import { rewriteSegments, type ChangedEntries } from "./rewrite.ts";
import { updateLongName } from "./long-name.ts";
import { cursorOf, type Update } from "../catch-up/cursor.ts";

/** How many names, and how many bytes of their records, are in memory at a time. A name with more is a long name. */
const NAMES_AT_ONCE = 100;
const LOADED_BYTES = 1024 ** 2;

type Names = {
  /** All changed names, in order. */
  readonly names: readonly string[];
  readonly update: Update;
};

/** Resumes the update where it stopped. Returns the next cursor, null at the end. */
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
    const remaining = names.filter((name) => name > after);
    // A partly finished name keeps its skip marks.
    for (const name of remaining.slice(0, NAMES_AT_ONCE))
      if (name !== within?.name && derived.isSkipped(scope, name))
        derived.transact(() => derived.clearSkipped(scope, name));
    const loaded = within ? [] : await loadNames(parts, scope, remaining);
    if (loaded.length > 0) {
      after = updateNames(parts, scope, layout, loaded, isLate);
    } else {
      // A partly finished name comes first, as the segments around it are in an intermediate state.
      const name = within?.name ?? remaining[0] ?? "";
      const stop = await updateLongName(parts, scope, layout, { name, within: within?.stop, isLate });
      if (stop !== undefined) return cursorOf({ since: update.since, after, within: { name, stop } });
      within = undefined;
      if (name === remaining[0]) after = name;
    }
    if (after < last && isLate()) return cursorOf({ since: update.since, after });
  }
  return null;
}

type ChangedName = { readonly name: string; readonly files: readonly IndexedFile[] };

/** Loads the first names, up to a long one. */
async function loadNames(
  { records, derived }: CatchUpParts,
  scope: IndexScope,
  names: readonly string[],
): Promise<ChangedName[]> {
  const loaded: ChangedName[] = [];
  let bytes = 0;
  for (const name of names.slice(0, NAMES_AT_ONCE)) {
    bytes += await records.bytesOfName(scope, name);
    if (bytes > LOADED_BYTES) break;
    const files: IndexedFile[] = [];
    for await (const { listed, unreadable } of records.ofName(scope, name)) {
      skipRecords(derived, scope, unreadable);
      files.push(...listed);
    }
    loaded.push({ name, files });
  }
  return loaded;
}

/** Returns the last name that is finished in all groups. */
function updateNames(
  parts: CatchUpParts,
  scope: IndexScope,
  layout: Layout,
  loaded: readonly ChangedName[],
  isLate: () => boolean,
): string {
  let names = loaded;
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
