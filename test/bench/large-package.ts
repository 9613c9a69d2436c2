// A large and valid `.conda` of incompressible bytes, written part by part and kept in the cache.

import { createCipheriv } from "node:crypto";
import { open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";

import { cachedFolder } from "../e2e/cache.ts";
import { tar, zstd, type TarMember } from "../support/package-builder.ts";

type Member = { readonly name: string; readonly offset: number; readonly size: number; readonly crc: number };

const STEM = "large-1.0-0";
const FILES = 12;
/** Size of each file; a multiple of the blocks of tar and of zstd. */
const FILE_BYTES = 1000 * 128 * 1024;
const PIECE = (1000 * 128 * 1024) / 125;
/** The largest block of zstd. */
const BLOCK = 128 * 1024;
const ZIP_LIMIT = 0xffffffff;

/** The path of a package of 1.57 GB; the first call builds it. */
export async function largePackage(): Promise<string> {
  const name = `${STEM}.conda`;
  const make = (folder: string): Promise<void> => writePackage(join(folder, name));
  return join(await cachedFolder("bench-package", [STEM, String(FILES), String(FILE_BYTES), "1"], make), name);
}

async function writePackage(path: string): Promise<void> {
  const file = await open(path, "wx");
  try {
    const paths: object[] = [];
    const index = { name: "large", version: "1.0", build: "0", build_number: 0, subdir: "noarch", depends: [] };
    const writer = createZipWriter(file);
    await writer.add("metadata.json", [Buffer.from('{"conda_pkg_format_version": 2}')]);
    await writer.add(`pkg-${STEM}.tar.zst`, uncompressedFrame(payload(paths)));
    const info: TarMember[] = [
      { path: "info/index.json", data: JSON.stringify(index) },
      { path: "info/paths.json", data: JSON.stringify({ paths, paths_version: 1 }) },
    ];
    await writer.add(`info-${STEM}.tar.zst`, [zstd(tar(info))]);
    await writer.end();
    await file.sync();
  } finally {
    await file.close();
  }
}

/** A tarball of files of noise; the entry of each in `paths.json` is added to `paths`. */
function* payload(paths: object[]): Generator<Uint8Array> {
  const noise = createCipheriv("aes-128-ctr", Buffer.alloc(16, "noise"), Buffer.alloc(16));
  const zeros = Buffer.alloc(PIECE);
  for (let at = 0; at < FILES; at += 1) {
    const path = `share/large/${at}.bin`;
    const sha256 = new Bun.CryptoHasher("sha256");
    yield tarHeader(path, FILE_BYTES);
    for (let written = 0; written < FILE_BYTES; written += PIECE) {
      const piece = noise.update(zeros);
      sha256.update(piece);
      yield piece;
    }
    paths.push({ _path: path, path_type: "hardlink", sha256: sha256.digest("hex"), size_in_bytes: FILE_BYTES });
  }
  yield new Uint8Array(1024);
}

/** The header of a member whose contents follow: the builder's own, for a size that memory need not hold. */
function tarHeader(path: string, size: number): Uint8Array {
  const edit = (header: Uint8Array): void =>
    void Buffer.from(header.buffer).write(size.toString(8).padStart(11, "0"), 124);
  return tar([{ path, edit }], new Uint8Array(0));
}

/** One zstd frame of raw blocks, the result of compressing noise. https://www.rfc-editor.org/rfc/rfc8878 */
function* uncompressedFrame(source: Iterable<Uint8Array>): Generator<Uint8Array> {
  // Magic, no content size, a window of 128 KiB.
  yield Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38);
  for (const bytes of source) {
    for (let at = 0; at < bytes.length; at += BLOCK) {
      const block = bytes.subarray(at, at + BLOCK);
      yield blockHeader(block.length, 0);
      yield block;
    }
  }
  yield blockHeader(0, 1);
}

function blockHeader(size: number, isLast: 0 | 1): Uint8Array {
  const header = Buffer.alloc(3);
  header.writeUIntLE((size << 3) | isLast, 0, 3);
  return header;
}

type ZipWriter = { add(name: string, data: Iterable<Uint8Array>): Promise<void>; end(): Promise<void> };

/** A ZIP of stored members without ZIP64; the header of each is completed after its bytes are known. */
function createZipWriter(file: FileHandle): ZipWriter {
  const members: Member[] = [];
  let position = 0;
  const append = async (bytes: Uint8Array): Promise<void> => {
    await file.write(bytes, 0, bytes.length, position);
    position += bytes.length;
    if (position > ZIP_LIMIT) throw new Error("a ZIP of more than 4 GiB needs ZIP64");
  };
  return {
    add: async (name, data) => {
      const offset = position;
      await append(localHeader({ name, offset, size: 0, crc: 0 }));
      const start = position;
      let crc = 0;
      for (const bytes of data) {
        crc = crc32(bytes, crc);
        await append(bytes);
      }
      const member = { name, offset, size: position - start, crc };
      const header = localHeader(member);
      await file.write(header, 0, header.length, offset);
      members.push(member);
    },
    end: async () => {
      const start = position;
      for (const member of members) await append(directoryEntry(member));
      const end = Buffer.alloc(22);
      end.writeUInt32LE(0x06054b50, 0);
      end.writeUInt16LE(members.length, 8);
      end.writeUInt16LE(members.length, 10);
      end.writeUInt32LE(position - start, 12);
      end.writeUInt32LE(start, 16);
      await append(end);
    },
  };
}

function localHeader(member: Member): Buffer {
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  writeCommon(header, 4, member);
  return Buffer.concat([header, Buffer.from(member.name)]);
}

function directoryEntry(member: Member): Buffer {
  const entry = Buffer.alloc(46);
  entry.writeUInt32LE(0x02014b50, 0);
  entry.writeUInt16LE(20, 4);
  writeCommon(entry, 6, member);
  entry.writeUInt32LE(member.offset, 42);
  return Buffer.concat([entry, Buffer.from(member.name)]);
}

/** From the version needed to the length of the name, equal in both headers; the date is 2020-01-01. */
function writeCommon(into: Buffer, at: number, { name, size, crc }: Member): void {
  into.writeUInt16LE(20, at);
  into.writeUInt16LE((40 << 9) | (1 << 5) | 1, at + 8);
  into.writeUInt32LE(crc, at + 10);
  into.writeUInt32LE(size, at + 14);
  into.writeUInt32LE(size, at + 18);
  into.writeUInt16LE(Buffer.byteLength(name), at + 22);
}
