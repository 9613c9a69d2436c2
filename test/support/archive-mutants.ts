// Mutants of good packages: headers, records and fields are changed so that the package stays consistent.
// The same seed gives the same packages.

import { constants, deflateRawSync, zstdCompressSync } from "node:zlib";

import { createRandom, type Random } from "../bench/growth/random.ts";
import { extraField, fields, type RawEntry, rawZip, type RawZipOptions } from "../modules/archive/raw-zip.ts";
import type { Sample } from "./archive-readers.ts";
import { bzip2, packageParts, paxRecords, tar, type TarMember, zstd } from "./package-builder.ts";

/** A header and the bytes behind it, padded. */
type Block = { header: Buffer; data: Buffer };

const STEM = "demo-1-0";
const BLOCK = 512;

const TAR_FIELDS = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  type: [156, 1],
  link: [157, 100],
  magic: [257, 8],
  uname: [265, 32],
  gname: [297, 32],
  major: [329, 8],
  minor: [337, 8],
  prefix: [345, 155],
  sparse: [386, 24],
  realsize: [483, 12],
  tail: [500, 12],
} as const;

const NAMES = [
  "lib/a",
  "lib/a/",
  "./lib/a",
  "lib//a",
  "lib/./a",
  "share/d/",
  "Lib",
  "LIB/x",
  "lib",
  "lib/",
  "share/\u00e9",
  "share/e\u0301",
  "share/\u1100\u1161",
  "share/\ud55c/\u0939\u093f\u0928\u094d\u0926\u0940",
  "share/\u212b",
  "/usr/lib/a",
  "../../a",
  "a/../b",
  "bin/tool",
  "new/file",
  "new/folder/",
  ".",
  "./",
  "._a",
  "lib/._a",
  "info/other.json",
  `${"x".repeat(99)}/y`,
  `${"x".repeat(99)}/`,
  `${"deep/".repeat(30)}file`,
  "a b",
  " a",
  "a ",
  "-a",
  "a\tb",
  "a\u0000b",
  "",
];
const MAGICS = [
  "ustar\x0000",
  "ustar  \0",
  "\0\0\0\0\0\0\0\0",
  "ustar\0\0\0",
  "ustar\x0001",
  "ustar 00",
  "ustar\0 \0",
  "GNUtar \0",
];
const TYPES = Array.from("\u0000\u0000000111222555347xgLKSDNVXA");
const NUMBERS = [
  "0000000\0",
  "0000001\0",
  "0000003\0",
  "0001000\0",
  "0002000\0",
  "00000000003\0",
  "00000001000\0",
  "000000000003",
  "00000000003 ",
  "      3\0",
  "3\0",
  "3 \0",
  "\0\0\0\0\0\0\x003",
  " \0",
  "\t3\0",
  "+3\0",
  "-3\0",
  "0o3\0",
  "0x3\0",
  "3_0\0",
  "9\0",
  "7777777\0",
  "77777777777\0",
  "\x80\0\0\0\0\0\0\x03",
  "\x80\0\0\0\0\0\0\0\0\0\0\x03",
  "\x80\0\0\0\0\0\0\0\0\0\x02\0",
  "\x80\0\0\0\0\x1f\xff\xff\xff\xff\xff\xff",
  "\x80\0\0\0\0\0\0\x7f\xff\xff\xff\xff",
  "\xff\xff\xff\xff\xff\xff\x80\0\0\0\0\0",
  "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfd",
  "\xff\xff\xff\xff\xff\xff\xff\xfd",
  "\x81\0\0\0\0\0\0\0\0\0\0\x03",
  "\xc0\0\0\0\0\0\0\0\0\0\0\x03",
  "0100644\0",
  "0120777\0",
  "0040755\0",
  "0000755\0",
  "0004755\0",
];
const PAX_KEYS = [
  "path",
  "linkpath",
  "size",
  "mtime",
  "atime",
  "ctime",
  "uid",
  "gid",
  "uname",
  "gname",
  "comment",
  "charset",
  "hdrcharset",
  "SUN.holesdata",
  "SCHILY.realsize",
  "SCHILY.filetype",
  "SCHILY.fflags",
  "SCHILY.acl.access",
  "SCHILY.xattr.user.a",
  "SCHILY.dev",
  "SCHILY.ino",
  "SCHILY.nlink",
  "LIBARCHIVE.creationtime",
  "path",
  "LIBARCHIVE.symlinktype",
  "LIBARCHIVE.xattr.user.a",
  "RHT.security.selinux",
  "GNU.sparse.size",
  "linkpath",
  "GNU.sparse.name",
  "GNU.sparse.major",
  "GNU.sparse.map",
  "GNU.sparse.realsize",
  "GNU.sparse",
  "size",
  "path",
];
const PAX_VALUES = [
  "",
  "0",
  "1",
  "3",
  "512",
  "1024",
  "-1",
  "+1",
  " 1",
  "1.5",
  "-1.5",
  "1e9",
  "1700000000.123",
  "99999999999",
  "abc",
  "BINARY",
  "ISO-IR 10646 2000 UTF-8",
  "file",
  "dir",
  "AQID",
  "user::rwx",
  "0 1024",
  "a\nb",
  "a\0b",
  "é",
  "\\",
  "nodump",
  "hidden",
  "root",
  "21 hdrcharset=BINARY",
  "18446744073709551616",
  "9223372036854775807",
];

const hidden = tar([{ path: "bin/hidden", data: "hidden" }], new Uint8Array(0));
const plain: TarMember[] = [
  { path: "bin/" },
  { path: "bin/tool", data: "#!/bin/sh\n", mode: 0o755 },
  { path: "lib/a", data: "aa" },
  { path: "lib/same", type: "1", link: "lib/a" },
  { path: "lib/link", type: "2", link: "a" },
  { path: "share/old", type: "\0", data: hidden },
  { path: "share/data.bin", data: hidden },
];
const gnuMagic = (member: TarMember): TarMember => ({
  ...member,
  edit: (header) => header.set(Buffer.from("ustar  \0"), 257),
});
const noMagic = (member: TarMember): TarMember => ({ ...member, edit: (header) => header.fill(0, 257, 265) });
const long = `${"deep/".repeat(25)}file`;
/** One list of members for each way in which writers store long names. */
const PAYLOADS: readonly (readonly TarMember[])[] = [
  [
    ...plain,
    { path: "x", type: "x", data: paxRecords({ path: long, mtime: "1.5" }) },
    { path: long.slice(0, 100), type: "0", data: hidden },
    { path: "x", type: "x", data: paxRecords({ linkpath: long }) },
    { path: "lib/long", type: "2", link: "cut" },
    { path: "share/last", data: "last" },
  ],
  [
    ...plain,
    { path: "././@LongLink", type: "L", data: `${long}\0` },
    { path: long.slice(0, 100), type: "0", data: hidden },
    { path: "././@LongLink", type: "K", data: `${long}\0` },
    { path: "lib/long", type: "2", link: "cut" },
    { path: "share/last", data: "last" },
  ].map(gnuMagic),
  [...plain, { path: "share/last", data: "last" }].map(noMagic),
  [
    ...plain,
    { path: "g", type: "g", data: paxRecords({ comment: "made by hand" }) },
    { path: "deep/file", data: hidden, edit: (header) => header.set(Buffer.from("usr/share"), 345) },
    { path: "share/last", data: "last" },
  ],
];
const { info } = packageParts({ name: "demo", version: "1" });

/** Those from `first` on. */
export function* mutants(seed: number, first: number, count: number): Generator<Sample> {
  for (let number = first; number < first + count; number += 1) {
    yield { name: `seed ${seed}, number ${number}`, ...mutant(createRandom(seed * 1_000_003 + number)) };
  }
}

function mutant(random: Random): Omit<Sample, "name"> {
  const place = random.below(100);
  const format = random.below(4) === 0 ? "tar.bz2" : "conda";
  const parts = { info: blocksOf(tar(info)), payload: blocksOf(tar(random.pick(PAYLOADS))) };
  if (place < 75 || (place < 95 && format === "tar.bz2")) {
    const blocks = random.below(8) === 0 ? parts.info : parts.payload;
    for (let count = 1 + random.below(2); count > 0; count -= 1) changeBlocks(blocks, random);
  }
  if (format === "tar.bz2") {
    const bytes = bzip2(joinBlocks([...parts.info, ...parts.payload], random));
    return { fileName: `${STEM}.${format}`, bytes: place >= 88 ? changeStreams(bytes, random) : bytes };
  }
  const tarballs = [parts.info, parts.payload].map((blocks) => {
    const bytes = joinBlocks(blocks, random);
    return place >= 90 && place < 95 ? changeFrames(bytes, random) : zstd(bytes);
  });
  const bytes = place >= 75 && place < 90 ? changedZip(tarballs, random) : rawZip(entriesOf(tarballs));
  return { fileName: `${STEM}.${format}`, bytes: place >= 95 ? changeBytes(bytes, random) : bytes };
}

// --- tar

function blocksOf(bytes: Uint8Array): Block[] {
  const blocks: Block[] = [];
  for (let at = 0; bytes[at] !== 0 && at < bytes.length;) {
    const header = Buffer.from(bytes.subarray(at, at + BLOCK));
    const size = Math.ceil(parseInt(header.toString("latin1", 124, 135), 8) / BLOCK) * BLOCK;
    blocks.push({ header, data: Buffer.from(bytes.subarray(at + BLOCK, at + BLOCK + size)) });
    at += BLOCK + size;
  }
  return blocks;
}

function joinBlocks(blocks: readonly Block[], random: Random): Uint8Array {
  const end = random.below(60) === 0 ? random.pick([0, 512, 1000, 1536, 10_240]) : 2 * BLOCK;
  return Buffer.concat([...blocks.flatMap(({ header, data }) => [header, data]), new Uint8Array(end)]);
}

function changeBlocks(blocks: Block[], random: Random): void {
  const at = random.below(blocks.length + 1);
  const block = blocks[at % Math.max(blocks.length, 1)];
  if (block === undefined) return;
  const kind = random.below(20);
  if (kind < 8) changeField(block, random);
  else if (kind < 13) blocks.splice(at, 0, ...extensions(random));
  else if (kind === 13) changePax(blocks, random);
  else if (kind === 14) blocks.splice(at % blocks.length, 0, ...renamed(block, random));
  else if (kind === 15) blocks.splice(at, 0, { header: Buffer.from(block.header), data: block.data });
  else if (kind === 16) blocks.splice(at % blocks.length, 1);
  else if (kind === 17) blocks.splice(random.below(blocks.length), 0, ...blocks.splice(at % blocks.length, 1));
  else if (kind === 18) block.header[random.below(BLOCK)] = random.below(256);
  else block.data = Buffer.from(random.pick([hidden, new Uint8Array(0), new Uint8Array(BLOCK), block.data]));
  for (const { header } of blocks) if (random.below(200) !== 0) mendChecksum(header);
}

function changeField({ header }: Block, random: Random): void {
  const name = random.pick(Object.keys(TAR_FIELDS) as (keyof typeof TAR_FIELDS)[]);
  const [offset, length] = TAR_FIELDS[name];
  const text = ((): string => {
    if (name === "type") return random.pick(TYPES);
    if (name === "magic") return random.pick(MAGICS);
    if (name === "name" || name === "link") return Buffer.from(random.pick(NAMES)).toString("latin1");
    if (name === "prefix") return random.pick(["usr", "usr/", "/", "00000000001\0", "usr\0x", "\0x", "é"]);
    if (name === "uname" || name === "gname") return random.pick(["root", "\xff", "", "x".repeat(32)]);
    if (name === "tail") return random.pick(["tar\0", "\0\0\0\0\0\0\0\0tar\0", "x", "\0\0x"]);
    return random.pick(NUMBERS);
  })();
  const value = Buffer.from(text, "latin1").subarray(0, length);
  if (random.below(4) !== 0) header.fill(0, offset, offset + length);
  header.set(value, offset);
}

/** A header that describes the next member, or two, in all their forms. */
function extensions(random: Random): Block[] {
  const count = 1 + random.below(2);
  return Array.from({ length: count }, () => {
    const type = random.pick(Array.from("xxxxxxgLLLLKKKXNVAD"));
    const isPax = type === "x" || type === "g" || type === "X";
    const data = isPax
      ? randomRecords(random)
      : Buffer.from(`${random.pick(NAMES)}${random.pick(["\0", "\0", "\0", "", "\0\0"])}`);
    const [block] = blocksOf(tar([{ path: "extension", type, data }]));
    if (block === undefined) throw new Error("a tar of one member has one");
    if (random.below(3) === 0) block.header.set(Buffer.from(random.pick(MAGICS), "latin1"), 257);
    return block;
  });
}

/** The block gets a name that no honest writer gives it, and its real one from a header in front. */
function renamed(block: Block, random: Random): Block[] {
  const path = random.pick(["share/renamed", long]);
  block.header.fill(0, 0, 100);
  block.header.write(random.pick(["share/d/", "cut", `${"x".repeat(99)}/`, "", "/"]), 0);
  block.header.write(random.pick(["\0", "\0", "0", "1", "2", "5"]), 156);
  return blocksOf(
    tar([
      random.below(2) === 0
        ? { path: "x", type: "x", data: paxRecords({ path }) }
        : { path: "././@LongLink", type: "L", data: `${path}\0` },
    ]),
  );
}

function changePax(blocks: readonly Block[], random: Random): void {
  const headers = blocks.filter(({ header }) => header[156] === 0x78);
  if (headers.length === 0) return;
  const block = random.pick(headers);
  const size = parseInt(block.header.toString("latin1", 124, 135), 8);
  const records = Buffer.concat([block.data.subarray(0, size || 0), randomRecords(random)]);
  const [changed] = blocksOf(tar([{ path: "x", type: "x", data: records }]));
  if (changed === undefined) return;
  block.header = changed.header;
  block.data = changed.data;
}

function randomRecords(random: Random): Buffer {
  const parts = Array.from({ length: 1 + random.below(2) }, () => {
    const key = random.pick(random.below(2) === 0 ? ["path", "path", "linkpath", "size", "mtime"] : PAX_KEYS);
    const value = random.pick(key === "path" || key === "linkpath" ? NAMES : PAX_VALUES);
    return Buffer.from(paxRecords({ [key]: value }));
  });
  const records = Buffer.concat(parts);
  if (random.below(12) === 0) records[random.below(records.length)] = random.pick([0, 0x20, 0x30, 0x39, 0x3d, 0x0a]);
  return records;
}

function mendChecksum(header: Buffer): void {
  header.fill(0x20, 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.set(Buffer.from(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
}

// --- around the tar

function changeStreams(bytes: Uint8Array, random: Random): Uint8Array {
  const empty = bzip2(new Uint8Array(0));
  return random.pick([
    () => Buffer.concat([bytes, bytes]),
    () => Buffer.concat([bytes, empty]),
    () => Buffer.concat([empty, bytes]),
    () => Buffer.concat([bytes, Buffer.from("BZh")]),
    () => Buffer.concat([bytes, new Uint8Array(random.below(20))]),
    () => changeBytes(bytes, random),
  ])();
}

function changeFrames(bytes: Uint8Array, random: Random): Uint8Array {
  const skippable = Buffer.from("502a4d1804000000deadbeef", "hex");
  const at = random.below(bytes.length / BLOCK) * BLOCK;
  return random.pick([
    () => Buffer.concat([zstd(bytes.subarray(0, at)), zstd(bytes.subarray(at))]),
    () => Buffer.concat([zstd(bytes), zstd(bytes)]),
    () => Buffer.concat([zstd(bytes), zstd(new Uint8Array(0))]),
    () => Buffer.concat([skippable, zstd(bytes)]),
    () => Buffer.concat([zstd(bytes), skippable]),
    () => Buffer.concat([zstd(bytes), new Uint8Array(1 + random.below(20))]),
    () => zstdCompressSync(bytes, { params: { [constants.ZSTD_c_checksumFlag]: 1 } }),
    () => zstdCompressSync(bytes, { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } }),
    () => zstdCompressSync(bytes, { params: { [constants.ZSTD_c_windowLog]: random.pick([10, 27, 28]) } }),
    () => changeBytes(zstd(bytes), random),
  ])();
}

function entriesOf([infoBytes = new Uint8Array(0), payload = new Uint8Array(0)]: readonly Uint8Array[]): RawEntry[] {
  return [
    { name: "metadata.json", data: Buffer.from('{"conda_pkg_format_version": 2}') },
    { name: `pkg-${STEM}.tar.zst`, data: payload },
    { name: `info-${STEM}.tar.zst`, data: infoBytes },
  ];
}

function changedZip(tarballs: readonly Uint8Array[], random: Random): Uint8Array {
  const entries = entriesOf(tarballs);
  const options: RawZipOptions = random.below(6) === 0 ? { zip64: {} } : {};
  if (random.below(4) === 0) entries.unshift(...entries.splice(random.below(entries.length), 1));
  for (let count = 1 + random.below(2); count > 0; count -= 1) {
    const at = random.below(entries.length);
    const entry = entries[at];
    if (entry !== undefined) entries[at] = changeEntry(entry, random);
  }
  if (random.below(20) === 0)
    return rawZip(entries, { ...options, end: { [random.pick(["count", "disk", "size"])]: 1 } });
  return rawZip(entries, options);
}

function changeEntry(entry: RawEntry, random: Random): RawEntry {
  const { both, local, central } = entry;
  const kind = random.below(10);
  const where = random.pick(["both", "local", "central"] as const);
  const set = (change: NonNullable<RawEntry["central"]>): RawEntry =>
    where === "both"
      ? { ...entry, both: { ...both, ...change } }
      : { ...entry, [where]: { ...entry[where], ...change } };
  if (kind === 0) return set({ version: random.pick([0, 10, 20, 45, 46, 63, 64, 0x0314, 0xffff]) });
  if (kind === 1) return set({ flags: random.pick([1, 2, 4, 6, 8, 0x20, 0x40, 0x800, 0x802, 0x2000]) });
  if (kind === 2) {
    const attributes = random.pick([
      0x10,
      0x08,
      0x20,
      0x01,
      0x27,
      ...[0o040755, 0o100644, 0o100000, 0o120777, 0o010644, 0o644].map((mode) => mode * 0x10000),
    ]);
    return {
      ...entry,
      central: {
        ...central,
        attributes,
        madeBy: random.pick([0, 20, (3 << 8) | 20, (7 << 8) | 20, (10 << 8) | 63, (19 << 8) | 30]),
      },
    };
  }
  if (kind <= 5) return set({ extra: randomExtra(entry, random) });
  if (kind === 6) {
    const data = new Uint8Array(deflateRawSync(entry.data));
    const after = random.below(3) === 0 ? Uint8Array.of(0) : new Uint8Array(0);
    return {
      ...entry,
      data: Buffer.concat([data, after]),
      both: { ...both, method: 8, size: entry.data.length, crc: Bun.hash.crc32(entry.data) },
    };
  }
  if (kind === 7) {
    const sizes = [4, 8].map((width) =>
      fields([4, Bun.hash.crc32(entry.data)], [width, entry.data.length], [width, entry.data.length]),
    );
    const after = Buffer.concat([
      fields(...(random.below(3) === 0 ? [] : [[4, 0x08074b50] as const])),
      random.pick(sizes),
    ]);
    return { ...entry, after, both: { ...both, flags: 8 }, local: { ...local, crc: 0, size: 0, compressedSize: 0 } };
  }
  if (kind === 8)
    return set({
      name: random.pick([`pkg-${STEM}.tar.zst`, `pkg-a/${STEM}.tar.zst`, `${entry.name}/`, "metadata.json"]),
    });
  return set({ [random.pick(["crc", "size", "compressedSize", "method", "disk"])]: random.pick([0, 1, 8, 0xffff]) });
}

function randomExtra({ data }: RawEntry, random: Random): Uint8Array {
  const sizes = fields([8, data.length], [8, data.length]);
  const content = random.pick([
    () => extraField(1, sizes),
    () => extraField(1, new Uint8Array(0)),
    () => extraField(1, fields([8, data.length])),
    () => extraField(0x5455, fields([1, random.pick([0, 1, 3, 5, 7, 8])], [4, 1_700_000_000])),
    () => extraField(0x5455, fields([1, 3], [4, 1], [4, 2])),
    () => extraField(0x5455, new Uint8Array(random.below(14))),
    () => extraField(0x7875, fields([1, 1], [1, 4], [4, 1000], [1, 4], [4, 1000])),
    () => extraField(0x7875, new Uint8Array(random.below(12))),
    () => extraField(0x5855, new Uint8Array(random.below(13))),
    () => extraField(0x7855, new Uint8Array(random.below(5))),
    () => extraField(0x6c78, fields([1, 4], [4, 0o040755 * 0x10000])),
    () => extraField(0x7075, Buffer.from("\x01\0\0\0\0evil")),
    () => extraField(0x000a, new Uint8Array(32)),
    () => extraField(random.below(0x10000), new Uint8Array(random.below(8))),
    () => new Uint8Array(random.below(5)),
  ])();
  return random.below(4) === 0 ? Buffer.concat([content, randomExtra({ name: "", data }, random)]) : content;
}

function changeBytes(bytes: Uint8Array, random: Random): Uint8Array {
  const at = random.below(Math.max(bytes.length, 1));
  const length = 1 + random.below(8);
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
  const some = Uint8Array.from({ length }, () => random.below(256));
  return random.pick([
    () => Buffer.concat([before, some, after.subarray(length)]),
    () => Buffer.concat([before, some, after]),
    () => Buffer.concat([before, after.subarray(length)]),
    () => Buffer.concat([before, after.subarray(0, length), after]),
  ])();
}
