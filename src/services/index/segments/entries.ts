// The entries of segments: made of records, and read back from the text of a segment.

import type { IndexScope } from "../../../models/index/scope.ts";
import type { SkippedRecord, Derived } from "../../../models/index/db.ts";
import type { IndexedFile } from "../../../models/package-file.ts";
import { skippedRecord } from "../records.ts";
import type { Group } from "./layout.ts";
import type { Entry } from "./chunking.ts";

/** The entry of a file in a group; undefined where it has none. One that has no text is set aside. */
export function entryOf(derived: Derived, scope: IndexScope, group: Group, file: IndexedFile): Entry | undefined {
  const { packageName, fileName } = file;
  let text: string | undefined;
  try {
    text = group.entry(file);
  } catch (error) {
    derived.transact(() => derived.skip(scope, skippedRecord(file, error)));
    return undefined;
  }
  // Damage that was mended by hand leaves no change of the name behind.
  const path = `${file.section}/${fileName}`;
  if (derived.isSkipped(scope, packageName, path))
    derived.transact(() => derived.clearSkipped(scope, packageName, path));
  return text === undefined ? undefined : { packageName, fileName, text };
}

/** Notes that a document leaves these out. */
export function skipRecords(derived: Derived, scope: IndexScope, records: readonly SkippedRecord[]): void {
  if (records.length === 0) return;
  derived.transact(() => records.forEach((record) => derived.skip(scope, record)));
}

/** The entries that a segment's text was joined of: members of a JSON object, with a comma between two. */
export function entriesIn(text: string, { fileOf }: Pick<Group, "fileOf">): Entry[] {
  const entries: Entry[] = [];
  let depth = 0;
  let begin = 0;
  const take = (end: number): void => {
    const file = fileOf(text.slice(begin + 1, text.indexOf('"', begin + 1)));
    entries.push({ ...file, text: text.slice(begin, end) });
    begin = end + 1;
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
  if (begin < text.length) take(text.length);
  return entries;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;

/** Where the string that begins at a quote ends: at the next quote with an even number of backslashes before it. */
function endOfString(text: string, begin: number): number {
  for (let end = text.indexOf('"', begin + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return end;
  }
  return text.length;
}
