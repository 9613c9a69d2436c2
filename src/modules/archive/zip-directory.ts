// Reads the central directory of a ZIP and the local header of each member, and checks that they agree.

import { readAt } from "./file-range.ts";
import { decodeUtf8, pathProblem } from "./member-path.ts";
import { ArchiveRefusal, type Reporter } from "./refusal.ts";

type ZipEntry = {
  readonly name: string;
  readonly method: "stored" | "deflated";
  readonly crc: number;
  readonly size: number;
  readonly compressedSize: number;
  /** Offset of the member's local header. */
  readonly offset: number;
  readonly flags: number;
  readonly rawName: Buffer;
};

/** `start` is the offset of the member's data. */
export type LocatedEntry = ZipEntry & { readonly start: number };

const END = { signature: 0x06054b50, length: 22 };
const END64 = { signature: 0x06064b50, length: 56 };
const LOCATOR = { signature: 0x07064b50, length: 20 };
const CENTRAL = { signature: 0x02014b50, length: 46 };
const LOCAL = { signature: 0x04034b50, length: 30 };
/** A valid descriptor has at most 24 bytes; one more is read to notice a longer gap. */
const DESCRIPTOR = { signature: 0x08074b50, longest: 25 };

const MAX_DIRECTORY = 64 * 1024;
const MAX16 = 0xffff;
const MAX32 = 0xffffffff;

const FLAG_ENCRYPTED = 1 << 0;
const FLAG_DESCRIPTOR = 1 << 3;
const FLAG_UTF8 = 1 << 11;
/** The allowed flags: those two, and the two bits in which a deflater records its level. */
const FLAGS = FLAG_DESCRIPTOR | FLAG_UTF8 | 0b110;

/** The highest version that Python reads. A non-zero upper byte, which has no meaning, is refused too. */
const MAX_VERSION = 63;

/** The DOS attributes of a folder and of a volume label; libarchive appends `/` to the name of such a member. */
const DOS_NOT_A_FILE = 0x18;

const EXTRA_ZIP64 = 0x0001;
const EXTRA_TIMES = 0x5455;
/** Owners and times of Info-ZIP and libarchive. Other fields can rename, encrypt or change the type of a member. */
const EXTRA_ALLOWED = new Set([EXTRA_ZIP64, EXTRA_TIMES, 0x5855, 0x7855, 0x7875]);

const REBUILD = "Build the package again with a current conda-build, rattler-build or conda-package-handling.";

/** Reads the end record and the directory; `start` is the offset of the directory. */
export function readDirectory(fd: number, fileSize: number): { entries: ZipEntry[]; start: number } {
  const end = readEnd(fd, fileSize);
  if (end.offset + end.size !== end.position) {
    throw refusal("zip-gap", "", "The directory of the ZIP does not end where the end record begins.");
  }
  if (end.size > MAX_DIRECTORY) {
    throw refusal("zip-too-many-members", "", "The ZIP has far more members than a .conda can have.");
  }
  const bytes = readAt(fd, end.offset, end.size);
  const entries: ZipEntry[] = [];
  let at = 0;
  while (at < bytes.length) {
    const [entry, length] = readCentralHeader(bytes.subarray(at));
    entries.push(entry);
    at += length;
  }
  if (entries.length !== end.count) {
    throw refusal("zip-wrong-count", "", `The ZIP announces ${end.count} members and lists ${entries.length}.`);
  }
  const names = new Set<string>();
  for (const { name } of entries) {
    if (names.has(name)) throw refusal("zip-duplicate-member", name, "The ZIP lists the member twice.");
    names.add(name);
  }
  return { entries, start: end.offset };
}

/** Checks that the members fill the file up to the directory at `end` and agree with it; returns them in file order. */
export function locateEntries(
  fd: number,
  entries: readonly ZipEntry[],
  end: number,
  reporter: Reporter,
): LocatedEntry[] {
  const sorted = entries.toSorted((a, b) => a.offset - b.offset);
  let position = 0;
  const located = sorted.map((entry, index) => {
    const next = sorted[index + 1]?.offset ?? end;
    if (entry.offset > position) throw refusal("zip-gap", entry.name, "Bytes of no listed member precede the member.");
    if (entry.offset < position) throw refusal("zip-overlap", entry.name, "The member overlaps the one before it.");
    const start = position + checkLocalHeader(fd, entry, end);
    position = start + entry.compressedSize;
    if (position > next) throw refusal("zip-overlap", entry.name, "The member overlaps what follows it.");
    if ((entry.flags & FLAG_DESCRIPTOR) !== 0) position += checkDescriptor(fd, entry, position, next, reporter);
    return { ...entry, start };
  });
  if (position !== end) throw refusal("zip-gap", "", "Bytes of no listed member precede the directory.");
  return located;
}

type Zip64Values = { size: number; compressedSize: number; offset: number; disk: number };

/** The values of a zip64 field in their order, each with its width in bytes. */
const ZIP64_FIELDS = [
  ["size", 8],
  ["compressedSize", 8],
  ["offset", 8],
  ["disk", 4],
] as const;

type End = {
  /** Offset of the first end record. */
  readonly position: number;
  readonly count: number;
  readonly size: number;
  readonly offset: number;
};

function readEnd(fd: number, fileSize: number): End {
  const position = fileSize - END.length;
  const end = position < 0 ? Buffer.alloc(END.length) : readAt(fd, position, END.length);
  if (end.readUInt32LE(0) !== END.signature || end.readUInt16LE(20) !== 0) {
    const message = "The file does not end with the end record of a ZIP: it is truncated, or bytes follow the record.";
    throw refusal("zip-no-end", "", message);
  }
  const disks = [end.readUInt16LE(4), end.readUInt16LE(6)];
  const counts = [end.readUInt16LE(8), end.readUInt16LE(10)];
  const [size, offset] = [end.readUInt32LE(12), end.readUInt32LE(16)];
  const plain = { position, count: counts[1] ?? 0, size, offset };
  const end64 = readEnd64(fd, position);
  if (counts[0] !== counts[1] || disks.some((disk) => disk !== 0 && (disk !== MAX16 || end64 === undefined))) {
    throw refusal("zip-several-disks", "", "The ZIP is one part of a multi-part archive.");
  }
  if (end64 === undefined) return plain;
  const agrees =
    (plain.count === MAX16 || plain.count === end64.count) &&
    (size === MAX32 || size === end64.size) &&
    (offset === MAX32 || offset === end64.offset);
  if (!agrees) throw refusal("zip-wrong-zip64", "", "The two end records of the ZIP disagree.");
  return end64;
}

function readEnd64(fd: number, endPosition: number): End | undefined {
  const position = endPosition - LOCATOR.length - END64.length;
  if (position < 0) return undefined;
  const bytes = readAt(fd, position, END64.length + LOCATOR.length);
  const locator = bytes.subarray(END64.length);
  if (locator.readUInt32LE(0) !== LOCATOR.signature) return undefined;
  const isValid =
    bytes.readUInt32LE(0) === END64.signature &&
    bytes.readBigUInt64LE(4) === BigInt(END64.length - 12) &&
    locator.readBigUInt64LE(8) === BigInt(position) &&
    bytes.readBigUInt64LE(24) === bytes.readBigUInt64LE(32);
  if (!isValid) throw refusal("zip-wrong-zip64", "", "The zip64 end record is invalid.");
  const disks = [bytes.readUInt32LE(16), bytes.readUInt32LE(20), locator.readUInt32LE(4)];
  if (disks.some((disk) => disk !== 0) || locator.readUInt32LE(16) > 1) {
    throw refusal("zip-several-disks", "", "The ZIP is one part of a multi-part archive.");
  }
  return { position, count: readUInt64(bytes, 24), size: readUInt64(bytes, 40), offset: readUInt64(bytes, 48) };
}

function readCentralHeader(bytes: Buffer): [ZipEntry, number] {
  const nameLength = bytes.length < CENTRAL.length ? 0 : bytes.readUInt16LE(28);
  const extraLength = bytes.length < CENTRAL.length ? 0 : bytes.readUInt16LE(30);
  const length = CENTRAL.length + nameLength + extraLength;
  if (bytes.length < length || bytes.readUInt32LE(0) !== CENTRAL.signature) {
    throw refusal("zip-directory-corrupt", "", "The directory of the ZIP is damaged.");
  }
  const rawName = bytes.subarray(CENTRAL.length, CENTRAL.length + nameLength);
  const flags = bytes.readUInt16LE(8);
  const name = readName(rawName, flags);
  checkVersion(name, bytes.readUInt16LE(6));
  const method = readMethod(name, bytes.readUInt16LE(10), flags);
  const extra = bytes.subarray(CENTRAL.length + nameLength, length);
  const header = {
    size: bytes.readUInt32LE(24),
    compressedSize: bytes.readUInt32LE(20),
    offset: bytes.readUInt32LE(42),
    disk: bytes.readUInt16LE(34),
  };
  const { size, compressedSize, offset, disk } = readZip64(name, extra, header, false);
  if (bytes.readUInt16LE(32) !== 0) throw refusal("zip-comment", name, "The member has a comment.");
  if (disk !== 0) throw refusal("zip-several-disks", name, "The member is in another part of a multi-part ZIP.");
  checkAttributes(name, bytes.readUInt32LE(38));
  if (method === "stored" && size !== compressedSize) {
    throw refusal("zip-wrong-size", name, "The member is not compressed, yet its two sizes differ.");
  }
  const crc = bytes.readUInt32LE(16);
  return [{ name, rawName, method, flags, crc, size, compressedSize, offset }, length];
}

/** Returns the length of the member's local header. */
function checkLocalHeader(fd: number, entry: ZipEntry, end: number): number {
  const { name, rawName, flags } = entry;
  const disagree = (what: string): ArchiveRefusal =>
    refusal("zip-header-disagrees", name, `The member's local header and the directory give different ${what}.`);
  if (entry.offset + LOCAL.length > end) throw refusal("zip-overlap", name, "The member overlaps the directory.");
  const header = readAt(fd, entry.offset, LOCAL.length);
  const nameLength = header.readUInt16LE(26);
  const extraLength = header.readUInt16LE(28);
  const length = LOCAL.length + nameLength + extraLength;
  if (header.readUInt32LE(0) !== LOCAL.signature || entry.offset + length > end) throw disagree("offsets");
  const rest = readAt(fd, entry.offset + LOCAL.length, nameLength + extraLength);
  if (!rest.subarray(0, nameLength).equals(rawName)) throw disagree("names");
  checkVersion(name, header.readUInt16LE(4));
  if (header.readUInt16LE(6) !== flags) throw disagree("flags");
  if (header.readUInt16LE(8) !== (entry.method === "stored" ? 0 : 8)) throw disagree("methods");
  const sizes = { size: header.readUInt32LE(22), compressedSize: header.readUInt32LE(18), offset: 0, disk: 0 };
  const { size, compressedSize } = readZip64(name, rest.subarray(nameLength), sizes, true);
  const crc = header.readUInt32LE(14);
  const isLater = (flags & FLAG_DESCRIPTOR) !== 0 && crc === 0 && size === 0 && compressedSize === 0;
  if (isLater) return length;
  if (crc !== entry.crc) throw disagree("checksums");
  if (size !== entry.size || compressedSize !== entry.compressedSize) throw disagree("sizes");
  return length;
}

/** Checks that a data descriptor that agrees with the directory fills the gap after the member; returns its length. */
function checkDescriptor(fd: number, entry: ZipEntry, position: number, next: number, reporter: Reporter): number {
  const bytes = readAt(fd, position, Math.min(next - position, DESCRIPTOR.longest));
  const isSigned = bytes.length === 16 || bytes.length === 24;
  const values = isSigned ? bytes.subarray(4) : bytes;
  const isDescriptor = (values.length === 12 || values.length === 20) && values.readUInt32LE(0) === entry.crc;
  const sizes = isDescriptor ? readSizes(values.subarray(4)) : [];
  if (isSigned && bytes.readUInt32LE(0) !== DESCRIPTOR.signature) sizes.length = 0;
  if (sizes[0] !== entry.compressedSize || sizes[1] !== entry.size) {
    const message = "The bytes after the member are not the data descriptor that its flags announce.";
    throw refusal("zip-wrong-descriptor", entry.name, message);
  }
  const fix = "Write the sizes into the local headers, as writers to a seekable file do.";
  reporter.warn("zip-data-descriptor", entry.name, "The member's sizes follow its data instead of preceding it.", fix);
  return bytes.length;
}

function readSizes(bytes: Buffer): number[] {
  return bytes.length === 8
    ? [bytes.readUInt32LE(0), bytes.readUInt32LE(4)]
    : [readUInt64(bytes, 0), readUInt64(bytes, 8)];
}

function readName(raw: Buffer, flags: number): string {
  const name = decodeUtf8(raw);
  const isMarked = name !== undefined && ((flags & FLAG_UTF8) !== 0 || raw.every((byte) => byte < 0x80));
  const problem = isMarked ? pathProblem(name.replace(/\/$/, "")) : "is neither ASCII nor UTF-8 marked as such";
  if (name !== undefined && problem === undefined) return name;
  throw refusal("zip-bad-name", raw.toString("latin1"), `The name of the member ${problem}.`);
}

function readMethod(name: string, method: number, flags: number): ZipEntry["method"] {
  if ((flags & FLAG_ENCRYPTED) !== 0) throw refusal("zip-encrypted", name, "The member is encrypted.");
  if ((flags & ~FLAGS) !== 0) throw refusal("zip-unknown-flag", name, "The member sets a flag that no .conda needs.");
  if (method === 0) return "stored";
  if (method === 8) return "deflated";
  throw refusal(
    "zip-unknown-method",
    name,
    `The member is compressed with method ${method}, which no conda client reads.`,
  );
}

function checkVersion(name: string, needed: number): void {
  if (needed <= MAX_VERSION) return;
  throw refusal(
    "zip-version",
    name,
    `The member requires ZIP version ${needed}; the highest supported one is ${MAX_VERSION}.`,
  );
}

/** The upper half holds a Unix mode, the lower half DOS attributes; a member must be a plain file. */
function checkAttributes(name: string, attributes: number): void {
  const type = (attributes >>> 16) & 0o170000;
  const isFile = (type === 0 || type === 0o100000) && (attributes & DOS_NOT_A_FILE) === 0;
  if (!isFile) throw refusal("zip-not-a-file", name, "The member is a folder, a link or a special file.");
}

/**
 * Replaces header values that refer to the zip64 field (all bits set) by the values of that field. The field must hold
 * no other values, which rattler refuses. Only in a local header can it repeat both sizes, as some writers do.
 */
function readZip64(name: string, extra: Buffer, header: Zip64Values, isLocal: boolean): Zip64Values {
  const field = findZip64(name, extra) ?? Buffer.alloc(0);
  const needed = ZIP64_FIELDS.filter(([key, width]) => header[key] === (width === 8 ? MAX32 : MAX16));
  const isRepeated = isLocal && needed.length === 0 && field.length === 16;
  const values = { ...header };
  let at = 0;
  for (const [key, width] of isRepeated ? ZIP64_FIELDS.slice(0, 2) : needed) {
    if (at + width <= field.length) values[key] = width === 8 ? readUInt64(field, at) : field.readUInt32LE(at);
    at += width;
  }
  const agrees = !isRepeated || (values.size === header.size && values.compressedSize === header.compressedSize);
  if (at === field.length && agrees) return values;
  throw refusal("zip-wrong-zip64", name, "The member's zip64 field does not match its header.");
}

function findZip64(name: string, extra: Buffer): Buffer | undefined {
  const seen = new Set<number>();
  let found: Buffer | undefined;
  let at = 0;
  while (at < extra.length) {
    const [id, length] = at + 4 > extra.length ? [0, MAX32] : [extra.readUInt16LE(at), extra.readUInt16LE(at + 2)];
    const field = extra.subarray(at + 4, at + 4 + length);
    const isRefused =
      field.length !== length || !EXTRA_ALLOWED.has(id) || seen.has(id) || (id === EXTRA_TIMES && !isTimes(field));
    if (isRefused)
      throw refusal("zip-bad-extra-field", name, "The member has an extra field that is invalid or not allowed.");
    seen.add(id);
    if (id === EXTRA_ZIP64) found = field;
    at += 4 + length;
  }
  return found;
}

/** A byte of flags and up to three times; the directory can hold the first time only. rattler refuses other forms. */
function isTimes(field: Buffer): boolean {
  const flags = field[0] ?? MAX16;
  const times = (flags & 1) + ((flags >> 1) & 1) + ((flags >> 2) & 1);
  return flags <= 7 && (field.length === 5 || field.length === 1 + 4 * times);
}

/** A value too large to be exact as a double is beyond any file size, so a later check refuses it. */
function readUInt64(bytes: Buffer, at: number): number {
  return Number(bytes.readBigUInt64LE(at));
}

function refusal(rule: string, path: string, message: string): ArchiveRefusal {
  return new ArchiveRefusal(rule, path, message, REBUILD);
}
