// Where a document is cut. Some boundaries depend on the records next to them only, the others on those since the cut before,
// so the same records always give the same segments, and a change touches few of them.

import { crc32 } from "node:zlib";

/** One record of a document, with its text and no comma. */
export type Entry = { readonly packageName: string; readonly fileName: string; readonly text: string };

export type Segment = {
  /** The key after which it begins. */
  readonly start: string;
  readonly text: string;
};

/** The start of the first. */
export const FIRST = "";

/** Changing any of these changes bytes: they are part of the codec's id. */
export const BOUNDARY_RULE = {
  nameModulus: 64,
  fileModulus: 1024,
  /** From so many bytes on, a segment ends at the next of many files, so that a change moves few cuts after it. */
  enough: 120 * 1024,
  enoughModulus: 32,
  bytes: 256 * 1024,
};

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

export type Chunker = {
  /** Takes the next entry in order; answers the segment that ends before it, if there is a cut. */
  add(entry: Entry): Segment | undefined;
  /** Of the segment that the last entry is in: a chunker that begins there goes on in the same way. */
  readonly start: string;
  /** What is left when the entries, or the range of them, have ended. */
  end(): Segment | undefined;
};

/** Of entries from a cut on. */
export function createChunker(from: string): Chunker {
  let held: string[] = [];
  let bytes = 0;
  let last: Entry | undefined;
  let start = from;

  function take(): Segment | undefined {
    const segment = held.length > 0 ? { start, text: held.join(",") } : undefined;
    held = [];
    bytes = 0;
    return segment;
  }

  function cutBefore(entry: Entry): Segment | undefined {
    const boundary = last && boundaryBetween(last, entry, bytes);
    if (boundary === undefined) return undefined;
    const segment = take();
    start = boundary;
    return segment;
  }

  return {
    get start() {
      return start;
    },
    add: (entry) => {
      const segment = cutBefore(entry);
      held.push(entry.text);
      bytes += Buffer.byteLength(entry.text) + 1;
      last = entry;
      return segment;
    },
    end: take,
  };
}

/** `bytes` are those of the segment so far. */
function boundaryBetween(before: Entry, after: Entry, bytes: number): string | undefined {
  const { packageName, fileName } = before;
  if (packageName !== after.packageName && isOneOf(BOUNDARY_RULE.nameModulus, packageName))
    return keyAfterName(packageName);
  const isEnough = bytes >= BOUNDARY_RULE.enough && isOneOf(BOUNDARY_RULE.enoughModulus, fileName);
  const isCut = isEnough || bytes >= BOUNDARY_RULE.bytes || isOneOf(BOUNDARY_RULE.fileModulus, fileName);
  return isCut ? keyOf(before) : undefined;
}

function isOneOf(modulus: number, name: string): boolean {
  return crc32(name) % modulus === 0;
}
