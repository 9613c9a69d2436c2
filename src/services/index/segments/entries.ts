// The entries of segments: built from records, and parsed back from the text of a segment.

import type { IndexScope } from "../../../models/index/scope.ts";
import type { SkippedRecord, Derived } from "../../../models/index/db.ts";
import type { IndexedFile } from "../../../models/indexed-file.ts";
import { skippedRecord } from "../records.ts";
import type { Group } from "./layout.ts";
import type { Entry } from "./chunking.ts";

/** The entry of a file in a group; undefined if it has none there. A file whose entry cannot be built is skipped. */
export function entryOf(derived: Derived, scope: IndexScope, group: Group, file: IndexedFile): Entry | undefined {
  const { packageName, fileName } = file;
  let text: string | undefined;
  try {
    text = group.entry(file);
  } catch (error) {
    derived.transact(() => derived.skip(scope, skippedRecord(file, error)));
    return undefined;
  }
  // A repair by hand does not record a change of the name, so its skip mark is deleted here.
  const path = `${file.section}/${fileName}`;
  if (derived.isSkipped(scope, packageName, path))
    derived.transact(() => derived.clearSkipped(scope, packageName, path));
  return text === undefined ? undefined : { packageName, fileName, text };
}

/** Stores skip marks for records that documents leave out. */
export function skipRecords(derived: Derived, scope: IndexScope, records: readonly SkippedRecord[]): void {
  if (records.length === 0) return;
  derived.transact(() => records.forEach((record) => derived.skip(scope, record)));
}

/** The entries from which a segment's text was joined: members of a JSON object, separated by commas. */
export function entriesIn(text: string, { fileOf }: Pick<Group, "fileOf">): Entry[] {
  const entries: Entry[] = [];
  let depth = 0;
  let entryStart = 0;
  const take = (end: number): void => {
    const file = fileOf(text.slice(entryStart + 1, text.indexOf('"', entryStart + 1)));
    entries.push({ ...file, text: text.slice(entryStart, end) });
    entryStart = end + 1;
  };
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at);
        break;
      case OPEN_OBJECT:
      case OPEN_ARRAY:
        depth += 1;
        break;
      case CLOSE_OBJECT:
      case CLOSE_ARRAY:
        depth -= 1;
        break;
      case COMMA:
        if (depth === 0) take(at);
        break;
    }
  }
  if (entryStart < text.length) take(text.length);
  return entries;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;

/** The end of a string that starts at a quote: the next quote with an even number of backslashes before it. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}
