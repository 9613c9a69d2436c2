// Where a document is cut: boundaries depend only on the records around them, so the same records always give the same
// segments, and a change touches those up to the next natural boundary.

import { crc32 } from "node:zlib";

/** One record of a document, with its text and no comma. */
export type Entry = { readonly packageName: string; readonly fileName: string; readonly text: string };

export type Segment = {
  /** The key after which it begins; `""` for the first. */
  readonly start: string;
  readonly natural: boolean;
  readonly text: string;
};

/** Changing any of these changes bytes: they are part of the codec's id. */
export const CUT_RULE = { nameModulus: 32, fileModulus: 512, bytes: 160 * 1024 };

/** Sorts as (package name, file name) by bytes: a space is below, a tilde above all that names can hold. */
export function keyOf(entry: Pick<Entry, "packageName" | "fileName">): string {
  return `${entry.packageName} ${entry.fileName}`;
}

/** The key behind all files of a name. */
export function keyAfterName(packageName: string): string {
  return `${packageName} ~`;
}

/** The key before all files of a name. */
export function keyBeforeName(packageName: string): string {
  return `${packageName} `;
}

/** A key as the place in the order of files that it stands for. */
export function placeOfKey(key: string): { packageName: string; fileName: string } | undefined {
  if (key === "") return undefined;
  const space = key.indexOf(" ");
  return { packageName: key.slice(0, space), fileName: key.slice(space + 1) };
}

/** What an entry completes. */
export type Cut = {
  readonly segments: readonly Segment[];
  /** The natural boundary just before the entry, when there is one: all before it has been handed out. */
  readonly boundary: string | undefined;
};

export type Cutter = {
  /** Takes the next entry in order. */
  add(entry: Entry): Cut;
  /** What is left when the entries, or the range of them, have ended. */
  end(): readonly Segment[];
};

/** `start` must be a natural boundary, or the beginning. */
export function createCutter(start: string): Cutter {
  let held: string[] = [];
  let bytes = 0;
  let last: Entry | undefined;
  let begin = { start, natural: true };

  function take(): Segment[] {
    const segments = held.length > 0 ? [{ ...begin, text: held.join(",") }] : [];
    held = [];
    bytes = 0;
    return segments;
  }

  return {
    add: (entry) => {
      const boundary = last && naturalBoundary(last, entry);
      let segments: Segment[] = [];
      if (boundary !== undefined) {
        segments = take();
        begin = { start: boundary, natural: true };
      } else if (last && bytes >= CUT_RULE.bytes) {
        segments = take();
        begin = { start: keyOf(last), natural: false };
      }
      held.push(entry.text);
      bytes += Buffer.byteLength(entry.text) + 1;
      last = entry;
      return { segments, boundary };
    },
    end: take,
  };
}

function naturalBoundary(before: Entry, after: Entry): string | undefined {
  if (before.packageName !== after.packageName && isCutName(before.packageName))
    return keyAfterName(before.packageName);
  return isCutFile(before.fileName) ? keyOf(before) : undefined;
}

function isCutName(packageName: string): boolean {
  return crc32(packageName) % CUT_RULE.nameModulus === 0;
}

function isCutFile(fileName: string): boolean {
  return crc32(fileName) % CUT_RULE.fileModulus === 0;
}
