// Builds conda packages for tests: `buildPackage({ name, version })` builds a good one, the parts below broken ones.

import Bzip2 from "compressjs/lib/Bzip2.js";
import { zipSync } from "fflate";

import type { ArchiveFormat } from "../../src/modules/conda/archive.ts";

type Content = string | Uint8Array;

/** Other keys go into `info/index.json` unchanged; `undefined` omits a default key. */
export type PackageContents = {
  readonly name: string;
  readonly version: string;
  readonly build?: string | undefined;
  readonly subdir?: string | undefined;
  readonly depends?: readonly string[] | undefined;
  /** Files outside `info/`, by path; a small text file by default. */
  readonly files?: Readonly<Record<string, Content>>;
  /** More files for `info/`, by name; objects are written as JSON, `undefined` omits a default file. */
  readonly info?: Readonly<Record<string, Content | object | undefined>>;
  readonly [indexKey: string]: unknown;
};

export type PackageDescription = PackageContents & { readonly format?: ArchiveFormat };

export type BuiltPackage = { readonly fileName: string; readonly bytes: Uint8Array; readonly sha256: string };

export function buildPackage(description: PackageDescription): BuiltPackage {
  const { format = "conda", ...contents } = description;
  const { info, payload, stem } = packageParts(contents);
  const bytes = format === "conda" ? condaBytes({ stem, info, payload }) : bzip2(tar([...info, ...payload]));
  return { fileName: `${stem}.${format}`, bytes, sha256: sha256(bytes) };
}

/** The members of a package before they are archived, for tests that change one of them. */
export function packageParts(description: PackageContents): {
  stem: string;
  info: TarMember[];
  payload: TarMember[];
} {
  const {
    files = { [`share/${description.name}.txt`]: `This is ${description.name}.\n` },
    info,
    ...keys
  } = description;
  const index = { build: "0", build_number: 0, subdir: "noarch", depends: [], ...keys };
  const paths = Object.entries(files).map(([path, content]) => ({
    _path: path,
    path_type: "hardlink",
    sha256: sha256(toBytes(content)),
    size_in_bytes: toBytes(content).length,
  }));
  const documents = Object.entries({ "index.json": index, "paths.json": { paths, paths_version: 1 }, ...info });
  return {
    stem: `${index.name}-${index.version}-${index.build}`,
    info: documents.flatMap(([name, content]) =>
      content === undefined
        ? []
        : [{ path: `info/${name}`, data: isContent(content) ? content : JSON.stringify(content) }],
    ),
    payload: Object.entries(files).map(([path, data]) => ({ path, data })),
  };
}

/** A `.conda` around two lists of members, or around given bytes where a test breaks a tarball. */
export function condaBytes(parts: {
  readonly stem: string;
  readonly info: readonly TarMember[] | Uint8Array;
  readonly payload?: readonly TarMember[] | Uint8Array;
}): Uint8Array {
  const tarball = (part: readonly TarMember[] | Uint8Array): Uint8Array =>
    part instanceof Uint8Array ? part : zstd(tar(part));
  return zip({
    "metadata.json": toBytes('{"conda_pkg_format_version": 2}'),
    ...(parts.payload ? { [`pkg-${parts.stem}.tar.zst`]: tarball(parts.payload) } : {}),
    [`info-${parts.stem}.tar.zst`]: tarball(parts.info),
  });
}

/** A ZIP of stored members, or of deflated ones with a level above 0. */
export function zip(members: Readonly<Record<string, Uint8Array>>, level: 0 | 6 = 0): Uint8Array {
  return zipSync({ ...members }, { level, mtime: new Date(2020, 0, 1) });
}

export function zstd(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(Bun.zstdCompressSync(bytes, { level: 3 }));
}

export function bzip2(bytes: Uint8Array): Uint8Array {
  return Bzip2.compressFile(bytes, undefined, 1);
}

/** Joins streams of one block each, of at most 100 KB after the run length coding, into one bzip2 stream. */
export function joinBzip2(streams: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(streams.reduce((size, stream) => size + stream.length, 14));
  joined.set(Buffer.from("BZh1"));
  let [at, sum] = [32, 0];
  // Whole bytes at any bit; what is behind the last bit stays zero, as later bits are added to it.
  const append = (bytes: Uint8Array, bits: number): void => {
    const [first, shift] = [at >>> 3, at & 7];
    const count = Math.ceil(bits / 8);
    for (let index = 0; index < count; index++) {
      let byte = bytes[index] ?? 0;
      if (index === count - 1 && bits % 8 > 0) byte &= 0xff << (8 - (bits % 8));
      joined[first + index] = (joined[first + index] ?? 0) | (byte >>> shift);
      joined[first + index + 1] = (byte << (8 - shift)) & 0xff;
    }
    at += bits;
  };
  for (const stream of streams) {
    const block = stream.subarray(4);
    append(block, bitsBeforeEnd(block));
    const checksum = new DataView(block.buffer, block.byteOffset).getUint32(6);
    sum = (((sum << 1) | (sum >>> 31)) ^ checksum) >>> 0;
  }
  append(BZIP2_END, 48);
  const last = Buffer.alloc(4);
  last.writeUInt32BE(sum);
  append(last, 32);
  return joined.slice(0, Math.ceil(at / 8));
}

const BZIP2_END = Buffer.from("177245385090", "hex");

/** Where the end mark of a stream begins, in bits: its checksum of 32 bits and at most seven zeros follow. */
function bitsBeforeEnd(stream: Uint8Array): number {
  const tail = Array.from(stream.subarray(-12), (byte) => byte.toString(2).padStart(8, "0")).join("");
  const mark = Array.from(BZIP2_END, (byte) => byte.toString(2).padStart(8, "0")).join("");
  return 8 * stream.length - tail.length + tail.lastIndexOf(mark);
}

function sha256(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

export type TarMember = {
  readonly path: Content;
  readonly data?: Content;
  /** The type byte; by default, a path that ends in `/` is a directory, anything else a file. */
  readonly type?: string;
  readonly link?: Content;
  readonly mode?: number;
  /** Changes the finished header before its checksum is computed. */
  readonly edit?: (header: Uint8Array) => void;
  /** Changes the header after its checksum is computed. */
  readonly spoil?: (header: Uint8Array) => void;
};

const BLOCK = 512;

/** A ustar archive; a path of more than 100 bytes gets a pax header before it. */
export function tar(members: readonly TarMember[], end: Uint8Array = new Uint8Array(2 * BLOCK)): Uint8Array {
  return Buffer.concat([...members.flatMap(tarBlocks), end]);
}

/** The data of a pax extended header. */
export function paxRecords(records: Readonly<Record<string, string>>): Uint8Array {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = Buffer.byteLength(` ${key}=${value}\n`);
    const length = [rest + 1, rest + 2, rest + 3, rest + 4, rest + 5].find((sum) => sum - String(sum).length === rest);
    return `${length} ${key}=${value}\n`;
  });
  return toBytes(lines.join(""));
}

function tarBlocks(member: TarMember): Uint8Array[] {
  const path = toBytes(member.path);
  const data = toBytes(member.data ?? "");
  const isLong = path.length > 100;
  const long = isLong ? tarBlocks({ path: "long", type: "x", data: paxRecords({ path: String(member.path) }) }) : [];
  const padding = new Uint8Array((BLOCK - (data.length % BLOCK)) % BLOCK);
  return [...long, tarHeader(member, path, data.length), data, padding];
}

function tarHeader(member: TarMember, path: Uint8Array, size: number): Uint8Array {
  const header = new Uint8Array(BLOCK);
  const write = (offset: number, content: Content): void => header.set(toBytes(content), offset);
  const isDirectory = path.at(-1) === 0x2f;
  write(0, path.subarray(0, 100));
  write(100, octal(member.mode ?? (isDirectory ? 0o755 : 0o644), 8));
  write(108, octal(0, 8));
  write(116, octal(0, 8));
  write(124, octal(size, 12));
  write(136, octal(1_577_836_800, 12));
  write(156, member.type ?? (isDirectory ? "5" : "0"));
  write(157, member.link ?? "");
  write(257, "ustar\x0000");
  member.edit?.(header);
  write(148, " ".repeat(8));
  const sum = header.reduce((total, byte) => total + byte, 0);
  write(148, `${octal(sum, 7)} `);
  member.spoil?.(header);
  return header;
}

function octal(value: number, width: number): string {
  return `${value.toString(8).padStart(width - 1, "0")}\0`;
}

function isContent(value: Content | object): value is Content {
  return typeof value === "string" || value instanceof Uint8Array;
}

function toBytes(content: Content): Uint8Array {
  return typeof content === "string" ? new TextEncoder().encode(content) : content;
}
