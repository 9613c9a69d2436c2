// Builds conda packages for tests: `buildPackage({ name, version })` makes a good one; the parts below make broken ones.

import Bzip2 from "compressjs/lib/Bzip2.js";
import { zipSync } from "fflate";

import type { ArchiveFormat } from "../../src/modules/conda/archive.ts";

type Content = string | Uint8Array;

/** Keys that are not named here go into `info/index.json` as they are; `undefined` leaves a default key out. */
export type PackageContents = {
  readonly name: string;
  readonly version: string;
  readonly build?: string | undefined;
  readonly subdir?: string | undefined;
  readonly depends?: readonly string[] | undefined;
  /** Files outside `info/`, by path; a small text file unless given. */
  readonly files?: Readonly<Record<string, Content>>;
  /** More files for `info/`, by name; objects are written as JSON, `undefined` leaves a default file out. */
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

/** A `.conda` around two lists of members, or around ready bytes where a test breaks a tarball. */
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

/** A ZIP of stored members, or deflated ones with a level above 0. */
export function zip(members: Readonly<Record<string, Uint8Array>>, level: 0 | 6 = 0): Uint8Array {
  return zipSync({ ...members }, { level, mtime: new Date(2020, 0, 1) });
}

export function zstd(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(Bun.zstdCompressSync(bytes, { level: 3 }));
}

export function bzip2(bytes: Uint8Array): Uint8Array {
  return Bzip2.compressFile(bytes, undefined, 1);
}

/** One bzip2 stream of streams that have one block each, of at most 100 KB once runs are counted. */
export function joinBzip2(streams: readonly Uint8Array[]): Uint8Array {
  const end = (0x177245385090).toString(2).padStart(48, "0");
  let [bits, sum] = ["", 0];
  for (const stream of streams) {
    const all = Array.from(stream.subarray(4), (byte) => byte.toString(2).padStart(8, "0")).join("");
    const block = all.slice(0, all.lastIndexOf(end));
    bits += block;
    sum = (((sum << 1) | (sum >>> 31)) ^ parseInt(block.slice(48, 80), 2)) >>> 0;
  }
  bits += end + sum.toString(2).padStart(32, "0");
  const bytes = bits.padEnd(Math.ceil(bits.length / 8) * 8, "0").match(/.{8}/g) ?? [];
  return Buffer.concat([Buffer.from("BZh1"), Uint8Array.from(bytes, (byte) => parseInt(byte, 2))]);
}

function sha256(bytes: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}

export type TarMember = {
  readonly path: Content;
  readonly data?: Content;
  /** The type byte; a path that ends in `/` is a directory, anything else a file. */
  readonly type?: string;
  readonly link?: Content;
  readonly mode?: number;
  /** Changes the finished header; its checksum is made after that. */
  readonly edit?: (header: Uint8Array) => void;
  /** Changes the header after its checksum was made. */
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
