// Reads one 512-byte tar header; refuses a header that two readers could interpret differently.
// https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html

import { ArchiveRefusal } from "./refusal.ts";

export type TarHeader = {
  /** The type byte as a character. */
  readonly type: string;
  readonly format: TarFormat;
  /** Not decoded: a truncated long name can end inside a character. */
  readonly name: Uint8Array;
  /** The name joined to the prefix field of the header. */
  readonly path: Uint8Array;
  readonly link: Uint8Array;
  readonly size: number;
  readonly mode: number;
};

/** Derived from the magic; `old` headers have none. */
type TarFormat = "ustar" | "gnu" | "old";

export const BLOCK = 512;

const CHECKSUM = { start: 148, end: 156 };
/** Owner, group, time and device: unused here, but some readers take an invalid number for the end of the archive. */
const UNUSED_NUMBERS = [
  [108, 116],
  [116, 124],
  [136, 148],
  [329, 337],
  [337, 345],
] as const;
const MAGIC = { start: 257, end: 265 };
const FORMATS: Readonly<Record<string, TarFormat>> = {
  "ustar\x0000": "ustar",
  "ustar  \0": "gnu",
  "\0\0\0\0\0\0\0\0": "old",
};
const PREFIX = { start: 345, end: 500 };

const REBUILD = "Build the package again with a current conda-build, rattler-build or conda-package-handling.";

export function readTarHeader(block: Uint8Array): TarHeader {
  const name = readName(block, 0, 100);
  if (sumBytes(block) !== readOctal(block, name, CHECKSUM.start, CHECKSUM.end)) {
    throw tarRefusal("tar-checksum", toText(name), "The checksum of a tar header is wrong.");
  }
  for (const [start, end] of UNUSED_NUMBERS) checkNumber(block, name, start, end);
  const format = readFormat(block, name);
  return {
    type: String.fromCharCode(block[156] ?? 0),
    format,
    name,
    path: format === "ustar" ? withPrefix(block, name) : name,
    link: readName(block, 157, 257),
    size: readNumber(block, name, 124, 136),
    mode: readOctal(block, name, 100, 108) & 0o7777,
  };
}

export function sparse(path: string): ArchiveRefusal {
  return tarRefusal("tar-sparse", path, "The member is a sparse file, which clients unpack differently.");
}

export function tarRefusal(rule: string, path: string, message: string): ArchiveRefusal {
  return new ArchiveRefusal(rule, path, message, REBUILD);
}

/**
 * Python reads the prefix whatever the magic is; Rust and Go compare the complete magic, libarchive half of it. Without
 * the ustar magic, libarchive reads a sparse map from the prefix field; after a prefix, Go looks for the mark of star.
 */
function readFormat(block: Uint8Array, path: Uint8Array): TarFormat {
  const format = FORMATS[toText(block.subarray(MAGIC.start, MAGIC.end))];
  if (format === undefined) {
    throw tarRefusal(
      "tar-magic",
      toText(path),
      "The magic of a tar header is neither that of ustar nor that of GNU tar.",
    );
  }
  const unused = block.subarray(format === "ustar" ? PREFIX.end : PREFIX.start);
  if (unused.some((byte) => byte !== 0)) {
    const message = "A tar header has data in a field that only some readers read.";
    throw tarRefusal("tar-ambiguous-header", toText(path), message);
  }
  return format;
}

function withPrefix(block: Uint8Array, path: Uint8Array): Uint8Array {
  if (block[PREFIX.start] === 0) return path;
  return Buffer.concat([readName(block, PREFIX.start, PREFIX.end), Buffer.from("/"), path]);
}

/** Returns the field up to its first zero byte; some writers leave an older name after it. */
function readName(block: Uint8Array, start: number, end: number): Uint8Array {
  const field = block.subarray(start, end);
  const length = field.indexOf(0);
  return length === -1 ? field : field.subarray(0, length);
}

/** Reads octal digits, or a base-256 number after a first byte of 0x80. */
function readNumber(block: Uint8Array, path: Uint8Array, start: number, end: number): number {
  if (block[start] !== 0x80) return readOctal(block, path, start, end);
  let value = 0;
  for (let at = start + 1; at < end; at += 1) value = value * 256 + (block[at] ?? 0);
  if (Number.isSafeInteger(value)) return value;
  throw badNumber(path);
}

/** Reads octal digits, the only form that Rust accepts for modes and checksums. */
function readOctal(block: Uint8Array, path: Uint8Array, start: number, end: number): number {
  let value = 0;
  let at = start;
  while (at < end && block[at] === 0x20) at += 1;
  const first = at;
  for (let digit = (block[at] ?? 0) - 0x30; at < end && digit >= 0 && digit <= 7; digit = (block[at] ?? 0) - 0x30) {
    value = value * 8 + digit;
    at += 1;
  }
  if (at > first && skipBlank(block, at, end) === end) return value;
  throw badNumber(path);
}

function checkNumber(block: Uint8Array, path: Uint8Array, start: number, end: number): void {
  if (block[start] === 0xff) {
    // A negative number in base 256; Python cannot set a time that does not fit 64 bits.
    const isSmall = block.subarray(start, end - 6).every((byte) => byte === 0xff);
    if (!isSmall) throw badNumber(path);
  } else if (skipBlank(block, start, end) < end) readNumber(block, path, start, end);
}

function badNumber(path: Uint8Array): ArchiveRefusal {
  const message = "A tar header has a number that is invalid, negative or too large.";
  return tarRefusal("tar-bad-number", toText(path), message);
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
