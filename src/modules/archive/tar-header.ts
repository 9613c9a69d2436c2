// One 512-byte tar header, and the records of a pax header, read strictly: what two readers could take differently is
// refused. https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html

import { decodeUtf8 } from "./member-path.ts";
import { ArchiveRefusal } from "./refusal.ts";

export type TarHeader = {
  /** The type byte as a character. */
  readonly type: string;
  /** Not decoded: a long name's beginning may end inside a character. */
  readonly path: Uint8Array;
  readonly link: Uint8Array;
  readonly size: number;
  readonly mode: number;
};

/** The records that change what a member is; times, owners and attributes are passed over. */
export type PaxRecords = {
  readonly path?: string;
  readonly linkpath?: string;
  readonly size?: number;
};

export const BLOCK = 512;

const CHECKSUM = { start: 148, end: 156 };
/** Owner, group, time and device numbers: of no use here, but some readers take a broken one for the end of the archive. */
const UNUSED_NUMBERS = [
  [108, 116],
  [116, 124],
  [136, 148],
  [329, 337],
  [337, 345],
] as const;
const PREFIX = { start: 345, end: 500 };
const USTAR = "ustar\x0000";

const REBUILD = "Build the package again with a current conda-build, rattler-build or conda-package-handling.";

export function readTarHeader(block: Uint8Array): TarHeader {
  const path = readName(block, 0, 100);
  if (sumBytes(block) !== readNumber(block, path, CHECKSUM.start, CHECKSUM.end)) {
    throw tarRefusal("tar-checksum", toText(path), "The checksum of a tar header is wrong.");
  }
  for (const [start, end] of UNUSED_NUMBERS) checkNumber(block, path, start, end);
  return {
    type: String.fromCharCode(block[156] ?? 0),
    path: withPrefix(block, path),
    link: readName(block, 157, 257),
    size: readNumber(block, path, 124, 136),
    mode: readNumber(block, path, 100, 108) & 0o7777,
  };
}

/** `isGlobal` headers apply to all members that follow, so they may hold nothing but comments. */
export function readPaxRecords(bytes: Uint8Array, isGlobal: boolean): PaxRecords {
  const records = new Map<string, string | undefined>();
  let at = 0;
  while (at < bytes.length) {
    const [key, value, end] = readPaxRecord(bytes, at);
    if (isGlobal && key !== "comment") {
      throw tarRefusal("tar-global-header", "", "A global pax header would change the members after it.");
    }
    if (key.startsWith("GNU.sparse.") || key === "SCHILY.realsize") throw sparse("");
    if (MEANINGFUL.includes(key)) {
      if (records.has(key)) throw tarRefusal("tar-ambiguous-header", "", `A pax header gives "${key}" twice.`);
      records.set(key, decodeUtf8(value));
    }
    at = end;
  }
  return {
    ...readText(records, "path"),
    ...readText(records, "linkpath"),
    ...(records.has("size") ? { size: readPaxSize(records.get("size")) } : {}),
  };
}

export function sparse(path: string): ArchiveRefusal {
  return tarRefusal("tar-sparse", path, "The member is a sparse file, which readers unpack differently.");
}

export function tarRefusal(rule: string, path: string, message: string): ArchiveRefusal {
  return new ArchiveRefusal(rule, path, message, REBUILD);
}

const MEANINGFUL = ["path", "linkpath", "size"];

function readText(records: ReadonlyMap<string, string | undefined>, key: "path" | "linkpath"): PaxRecords {
  if (!records.has(key)) return {};
  const value = records.get(key);
  if (value === undefined) throw tarRefusal("tar-bad-name", "", "A pax header gives a name that is not UTF-8.");
  return { [key]: value };
}

function readPaxSize(value: string | undefined): number {
  const size = value !== undefined && /^(?:0|[1-9][0-9]*)$/.test(value) ? Number(value) : NaN;
  if (!Number.isSafeInteger(size)) throw tarRefusal("tar-bad-number", "", "A pax header gives a size that is no size.");
  return size;
}

/** Reads `{length} {key}={value}\n`, where the length counts all of it. */
function readPaxRecord(bytes: Uint8Array, start: number): [string, Uint8Array, number] {
  const space = bytes.indexOf(0x20, start);
  const digits = toText(bytes.subarray(start, Math.min(Math.max(space, start), start + 8)));
  const end = /^[1-9][0-9]*$/.test(digits) ? start + Number(digits) : NaN;
  const equals = bytes.indexOf(0x3d, space);
  const isWhole = space === start + digits.length && end <= bytes.length && bytes[end - 1] === 0x0a;
  if (!isWhole || equals <= space + 1 || equals >= end) {
    throw tarRefusal("tar-bad-pax", "", "A pax header has a record of the wrong form or length.");
  }
  return [toText(bytes.subarray(space + 1, equals)), bytes.subarray(equals + 1, end - 1), end];
}

/** The prefix counts for some readers whatever the magic says, so it may only be there where all agree. */
function withPrefix(block: Uint8Array, path: Uint8Array): Uint8Array {
  if (block[PREFIX.start] === 0) return path;
  if (toText(block.subarray(257, 265)) !== USTAR) {
    throw tarRefusal("tar-ambiguous-header", toText(path), "A name has a prefix in a header that is not ustar.");
  }
  return Buffer.concat([readName(block, PREFIX.start, PREFIX.end), Buffer.from("/"), path]);
}

/** Up to the first zero byte; some writers leave an older name behind it. */
function readName(block: Uint8Array, start: number, end: number): Uint8Array {
  const field = block.subarray(start, end);
  const length = field.indexOf(0);
  return length === -1 ? field : field.subarray(0, length);
}

/** Octal digits, or base 256 after a first byte of 0x80 where the number needs it. */
function readNumber(block: Uint8Array, path: Uint8Array, start: number, end: number): number {
  let value = 0;
  if (block[start] === 0x80) {
    for (let at = start + 1; at < end; at += 1) value = value * 256 + (block[at] ?? 0);
    if (Number.isSafeInteger(value)) return value;
  } else {
    let at = start;
    while (at < end && block[at] === 0x20) at += 1;
    const first = at;
    for (let digit = (block[at] ?? 0) - 0x30; at < end && digit >= 0 && digit <= 7; digit = (block[at] ?? 0) - 0x30) {
      value = value * 8 + digit;
      at += 1;
    }
    if (at > first && skipBlank(block, at, end) === end) return value;
  }
  throw tarRefusal("tar-bad-number", toText(path), "A tar header has a number that is broken, negative or too large.");
}

function checkNumber(block: Uint8Array, path: Uint8Array, start: number, end: number): void {
  const isBase256 = block[start] === 0x80 || block[start] === 0xff;
  if (!isBase256 && skipBlank(block, start, end) < end) readNumber(block, path, start, end);
}

function skipBlank(block: Uint8Array, start: number, end: number): number {
  let at = start;
  while (at < end && (block[at] === 0x20 || block[at] === 0)) at += 1;
  return at;
}

function sumBytes(block: Uint8Array): number {
  let sum = (CHECKSUM.end - CHECKSUM.start) * 0x20;
  for (let at = 0; at < CHECKSUM.start; at += 1) sum += block[at] ?? 0;
  for (let at = CHECKSUM.end; at < BLOCK; at += 1) sum += block[at] ?? 0;
  return sum;
}

function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
