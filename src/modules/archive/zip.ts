// Reads a ZIP through its directory; refuses every file that two readers could interpret differently: the members must
// follow each other without gaps from the first byte, and their local headers must agree with the directory.
// Hand-written: zip.js accepts gaps between members and renames by the extra field 0x7075, yauzl checks no CRC.

import { constants, crc32, createInflateRaw } from "node:zlib";

import { readRange } from "./file-range.ts";
import { ArchiveRefusal, type Reporter } from "./refusal.ts";
import { locateEntries, readDirectory, type LocatedEntry } from "./zip-directory.ts";
import { pipeThrough } from "./pipe-through.ts";

export type ZipMember = {
  readonly name: string;
  /** Unpacked bytes. */
  readonly size: number;
  /** Yields the unpacked bytes; each chunk is overwritten by the next one. Refuses a wrong checksum at the end. */
  read(): AsyncGenerator<Uint8Array, void, undefined>;
};

const INFLATED = 256 * 1024;

/** Returns the members in file order. */
export function readZip(fd: number, fileSize: number, reporter: Reporter): ZipMember[] {
  const { entries, start } = readDirectory(fd, fileSize);
  return locateEntries(fd, entries, start, reporter).map((entry) => {
    const { name, method, size } = entry;
    const fix = "Store the members of a .conda without compression; they are compressed already.";
    if (method === "deflated") reporter.warn("zip-deflated-member", name, "The member is deflated, not stored.", fix);
    return { name, size, read: () => readMember(fd, entry) };
  });
}

async function* readMember(fd: number, entry: LocatedEntry): AsyncGenerator<Uint8Array, void, undefined> {
  const stored = readRange(fd, entry.start, entry.compressedSize);
  let [crc, size] = [0, 0];
  for await (const chunk of entry.method === "deflated" ? inflate(stored, entry) : stored) {
    crc = crc32(chunk, crc);
    size += chunk.length;
    if (size > entry.size) break;
    yield chunk;
  }
  if (size === entry.size && crc === entry.crc) return;
  const fix = "The file was damaged in transit: build or download the package again.";
  throw new ArchiveRefusal(
    "zip-checksum",
    entry.name,
    "The member's size or checksum is not the one in the ZIP's directory.",
    fix,
  );
}

async function* inflate(
  source: Iterable<Uint8Array>,
  entry: LocatedEntry,
): AsyncGenerator<Uint8Array, void, undefined> {
  const decoder = createInflateRaw({ chunkSize: INFLATED, finishFlush: constants.Z_FINISH });
  const broken = (what: string) => (): ArchiveRefusal => {
    const fix = "Store the members of a .conda without compression, or build the package again.";
    return new ArchiveRefusal("zip-deflate-corrupt", entry.name, `The member's deflated bytes ${what}.`, fix);
  };
  yield* pipeThrough(decoder, source, broken("are broken"));
  // libarchive refuses bytes after the deflated data; other readers ignore them.
  if (decoder.bytesWritten !== entry.compressedSize) throw broken("end before the member does")();
}
