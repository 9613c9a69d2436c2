// Decodes one zstd frame in bounded memory; refuses input that other decoders skip, ignore or read differently.
// Own frame walker: `node:zlib` and `Bun.zstdDecompress` report neither how many frames they read nor which they skip.

import { constants, createZstdDecompress, zstdDecompressSync } from "node:zlib";

import { ArchiveRefusal } from "./refusal.ts";
import { pipeThrough } from "./pipe-through.ts";

type FrameWalk = {
  /** The meaning of the next `wanted` bytes. */
  next: "magic" | "header" | "block";
  wanted: number;
  head: Uint8Array;
  filled: number;
  /** Bytes of block contents and checksums that are still to be skipped. */
  skip: number;
  hasChecksum: boolean;
  frames: number;
};

const OUTPUT = 1024 ** 2;
const SMALL = 64 * 1024;
const MAGIC = 0xfd2fb528;
/** Four bytes of magic and the frame header descriptor. */
const START = 5;
const BLOCK_HEADER = 3;
const LONGEST_HEADER = 18;

type ZstdOptions = { readonly path: string; readonly windowLog: number };

/** Yields the decoded bytes; refuses a window above 2^`windowLog` bytes. */
export async function* decompressZstd(
  source: AsyncIterable<Uint8Array>,
  options: ZstdOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const chunks = checkFrames(source, options);
  const head: Uint8Array[] = [];
  let next = await chunks.next();
  for (let bytes = 0; next.done !== true; next = await chunks.next()) {
    // Copied, since a source can reuse one buffer for all its chunks.
    head.push(Buffer.from(next.value));
    bytes += next.value.byteLength;
    if (bytes > SMALL) break;
  }
  const decoded = next.done === true ? decodeSmall(Buffer.concat(head), options) : undefined;
  if (decoded) yield decoded;
  else yield* decodeStream(chain(head, chunks), options);
}

/** Decodes short input in one call, in a third of the time; undefined when the output exceeds `OUTPUT` bytes. */
function decodeSmall(bytes: Uint8Array, { path, windowLog }: ZstdOptions): Uint8Array | undefined {
  const params = { [constants.ZSTD_d_windowLogMax]: windowLog };
  try {
    return zstdDecompressSync(bytes, { params, maxOutputLength: OUTPUT });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE") return undefined;
    throw corrupt(path, "a block cannot be decoded");
  }
}

function decodeStream(source: AsyncIterable<Uint8Array>, { path, windowLog }: ZstdOptions) {
  const params = { [constants.ZSTD_d_windowLogMax]: windowLog };
  const decoder = createZstdDecompress({ chunkSize: OUTPUT, params });
  return pipeThrough(decoder, source, () => corrupt(path, "a block cannot be decoded"));
}

async function* chain(
  head: readonly Uint8Array[],
  rest: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* head;
  yield* rest;
}

/** Yields the chunks unchanged and checks the frames in them. https://www.rfc-editor.org/rfc/rfc8878 */
async function* checkFrames(
  source: AsyncIterable<Uint8Array>,
  { path, windowLog }: ZstdOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const head = new Uint8Array(LONGEST_HEADER);
  const walk: FrameWalk = { next: "magic", wanted: START, head, filled: 0, skip: 0, hasChecksum: false, frames: 0 };
  for await (const chunk of source) {
    follow(walk, chunk, path, windowLog);
    yield chunk;
  }
  if (walk.next !== "magic" || walk.skip > 0 || walk.frames === 0) throw corrupt(path, "it is truncated");
  if (walk.filled > 0) throw trailing(path);
}

function follow(walk: FrameWalk, chunk: Uint8Array, path: string, windowLog: number): void {
  let at = 0;
  for (;;) {
    const skipped = Math.min(walk.skip, chunk.length - at);
    walk.skip -= skipped;
    at += skipped;
    if (at === chunk.length) return;
    walk.head[walk.filled] = chunk[at] ?? 0;
    walk.filled += 1;
    at += 1;
    if (walk.filled < walk.wanted) continue;
    const head = Buffer.from(walk.head.buffer, 0, walk.filled);
    if (walk.next === "magic") readStart(walk, head, path);
    else if (walk.next === "header") readHeader(walk, head, path, windowLog);
    else readBlock(walk, head, path);
  }
}

function readStart(walk: FrameWalk, head: Buffer, path: string): void {
  const magic = head.readUInt32LE(0);
  if (walk.frames > 0) throw magic === MAGIC ? severalFrames(path) : trailing(path);
  if (magic !== MAGIC) throw corrupt(path, "it does not start with the zstd magic number");
  const descriptor = head[4] ?? 0;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  if ((descriptor & 0x08) !== 0) throw corrupt(path, "a frame header uses a reserved bit");
  if ((descriptor & 0x03) !== 0) throw corrupt(path, "a frame needs a dictionary");
  walk.hasChecksum = (descriptor & 0x04) !== 0;
  walk.next = "header";
  walk.wanted = START + (isSingleSegment ? 0 : 1) + contentSizeBytes(descriptor);
}

function readHeader(walk: FrameWalk, head: Buffer, path: string, windowLog: number): void {
  const descriptor = head[4] ?? 0;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const window = isSingleSegment ? contentSize(head, contentSizeBytes(descriptor)) : windowSize(head[START] ?? 0);
  if (window > 2 ** windowLog) {
    const fix = `Compress with a window of at most ${2 ** windowLog} bytes, for example without --long.`;
    throw new ArchiveRefusal("zstd-window", path, `The member needs a window of ${window} bytes to be decoded.`, fix);
  }
  walk.frames += 1;
  expectBlock(walk);
}

function readBlock(walk: FrameWalk, head: Buffer, path: string): void {
  const value = head.readUIntLE(0, BLOCK_HEADER);
  const type = (value >> 1) & 3;
  if (type === 3) throw corrupt(path, "a block has a reserved type");
  walk.skip = type === 1 ? 1 : value >> 3;
  walk.filled = 0;
  if ((value & 1) === 0) return;
  walk.skip += walk.hasChecksum ? 4 : 0;
  walk.next = "magic";
  walk.wanted = START;
}

function expectBlock(walk: FrameWalk): void {
  walk.next = "block";
  walk.wanted = BLOCK_HEADER;
  walk.filled = 0;
}

function contentSizeBytes(descriptor: number): number {
  const code = descriptor >> 6;
  return code === 0 && (descriptor & 0x20) !== 0 ? 1 : ([0, 2, 4, 8][code] ?? 0);
}

function contentSize(head: Buffer, bytes: number): number {
  const at = head.length - bytes;
  if (bytes === 8) return Number(head.readBigUInt64LE(at));
  return head.readUIntLE(at, bytes) + (bytes === 2 ? 256 : 0);
}

function windowSize(byte: number): number {
  const base = 2 ** (10 + (byte >> 3));
  return base + (base / 8) * (byte & 7);
}

function corrupt(path: string, reason: string): ArchiveRefusal {
  const fix = "Check that the upload is complete and build or download the package again.";
  return new ArchiveRefusal("zstd-corrupt", path, `The zstd data is broken: ${reason}.`, fix);
}

/** rattler lists the first frame only, as did conda-package-streaming with python-zstandard; others read all frames. */
function severalFrames(path: string): ArchiveRefusal {
  const message = "The member holds several zstd frames, and some clients read only the first.";
  const fix = "Compress the tarball as one zstd frame.";
  return new ArchiveRefusal("zstd-several-frames", path, message, fix);
}

function trailing(path: string): ArchiveRefusal {
  const fix = "Compress the tarball as one zstd frame and nothing else.";
  return new ArchiveRefusal("zstd-trailing-data", path, "Bytes that are not a zstd frame follow the data.", fix);
}
