// Content-defined chunking: divides the entries of a document into segments. Some boundaries depend only on the entries
// next to them, the others on the entries since the previous boundary. Equal records therefore always give equal
// segments, and a change affects few of them.

import { crc32 } from "node:zlib";

/** One record of a document: its text, without a comma. */
export type Entry = { readonly packageName: string; readonly fileName: string; readonly text: string };

export type Segment = {
  /** The segment holds entries with keys greater than this. */
  readonly start: string;
  readonly text: string;
};

/** The start of the first segment. */
export const FIRST = "";

/** Changing any of these values changes document bytes, so they are part of the codec. */
export const BOUNDARY_RULE = {
  nameModulus: 64,
  fileModulus: 1024,
  /** From this size on, one in `enoughModulus` files ends the segment, so that a change moves few later boundaries. */
  enough: 120 * 1024,
  enoughModulus: 32,
  bytes: 256 * 1024,
};

/** Sorts like (package name, file name) by bytes: a space is less, a tilde greater than every character of a name. */
export function keyOf(entry: Pick<Entry, "packageName" | "fileName">): string {
  return `${entry.packageName} ${entry.fileName}`;
}

/** A key after those of all files of a name. */
export function keyAfterName(packageName: string): string {
  return `${packageName} ~`;
}

/** A key before those of all files of a name. */
export function keyBeforeName(packageName: string): string {
  return `${packageName} `;
}

/** The package name and file name of a key; undefined for the empty key. */
export function parseKey(key: string): { packageName: string; fileName: string } | undefined {
  if (key === "") return undefined;
  const space = key.indexOf(" ");
  return { packageName: key.slice(0, space), fileName: key.slice(space + 1) };
}

export type Chunker = {
  /** Takes the next entry in order. Returns the segment that ends before it, if there is a boundary. */
  add(entry: Entry): Segment | undefined;
  /** Start of the last entry's segment: a chunker created with this start continues with the same boundaries. */
  readonly start: string;
  /** Returns the last segment, after the end of all entries or of a range of them. */
  end(): Segment | undefined;
};

/** Creates a chunker for the entries after the boundary `from`. */
export function createChunker(from: string): Chunker {
  let texts: string[] = [];
  let bytes = 0;
  let last: Entry | undefined;
  let start = from;

  function takeSegment(): Segment | undefined {
    const segment = texts.length > 0 ? { start, text: texts.join(",") } : undefined;
    texts = [];
    bytes = 0;
    return segment;
  }

  function splitBefore(entry: Entry): Segment | undefined {
    const boundary = last && boundaryBetween(last, entry, bytes);
    if (boundary === undefined) return undefined;
    const segment = takeSegment();
    start = boundary;
    return segment;
  }

  return {
    get start() {
      return start;
    },
    add: (entry) => {
      const segment = splitBefore(entry);
      texts.push(entry.text);
      bytes += Buffer.byteLength(entry.text) + 1;
      last = entry;
      return segment;
    },
    end: takeSegment,
  };
}

/** The boundary between two entries, if there is one; `bytes` is the size of the segment so far. */
function boundaryBetween(before: Entry, after: Entry, bytes: number): string | undefined {
  const { packageName, fileName } = before;
  if (packageName !== after.packageName && isOneOf(BOUNDARY_RULE.nameModulus, packageName))
    return keyAfterName(packageName);
  const isEnough = bytes >= BOUNDARY_RULE.enough && isOneOf(BOUNDARY_RULE.enoughModulus, fileName);
  const isBoundary = isEnough || bytes >= BOUNDARY_RULE.bytes || isOneOf(BOUNDARY_RULE.fileModulus, fileName);
  return isBoundary ? keyOf(before) : undefined;
}

function isOneOf(modulus: number, name: string): boolean {
  return crc32(name) % modulus === 0;
}
