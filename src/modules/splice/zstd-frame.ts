// Joins parts that were compressed separately into one zstd frame. https://www.rfc-editor.org/rfc/rfc8878
// Hand-written: libraries only put one frame after another, and clients read the first frame only.

/** The blocks of a text that was compressed separately, none marked as the last. Plain data: it can be stored. */
export type ZstdBlocks = {
  readonly blocks: Uint8Array;
  /** Bytes of the text. */
  readonly size: number;
  /** The largest distance in bytes that the blocks refer back to; never above `size`. */
  readonly windowSize: number;
};

/** A part of a document: the size and window of its blocks, and the blocks themselves on request. */
export type ZstdPart = Pick<ZstdBlocks, "size" | "windowSize"> & {
  /** The text before the part: `SEPARATOR` or `PAD`. Only the first part can have an empty prefix. */
  readonly prefix: Uint8Array;
  open(): ZstdBlocks;
};

type FrameHeader = {
  readonly length: number;
  /** The declared size of the content. */
  readonly size: number | undefined;
  /** Undefined when it is the size of the content. */
  readonly windowSize: number | undefined;
  readonly checksumLength: number;
};

/** Spaces that every prefix ends with: content for the blocks that reset the decoder to its initial state. */
const SPACES = " ".repeat(17);
/** The text between two segments. */
export const SEPARATOR: Uint8Array = Buffer.from(`,${SPACES}`);
/** The text where a comma is not allowed. */
export const PAD: Uint8Array = Buffer.from(SPACES);

/** Higher levels only take more time. */
export const ZSTD_LEVEL = 15;
const MAGIC = 0xfd2fb528;
/** Magic, descriptor, window, 8 bytes of size. */
const FRAME_HEADER = 14;
const SHORTEST_HEADER = 6;
const BLOCK_HEADER = 3;
const MIN_WINDOW_LOG = 10;
/** The largest window that decoders accept by default. */
const MAX_WINDOW_LOG = 27;
const BLOCK = { raw: 0, runLength: 1, compressed: 2 };

const NOTHING = new Uint8Array(0);
/** An empty raw block marked as the last, so that no block of a part needs the mark. */
export const FRAME_END: Uint8Array = Uint8Array.of(1, 0, 0);
export const SEPARATOR_BLOCKS: Uint8Array = prefixBlocks(SEPARATOR);
export const PAD_BLOCKS: Uint8Array = prefixBlocks(PAD);

export function compressBlocks(bytes: Uint8Array, level: number = ZSTD_LEVEL): ZstdBlocks {
  return blocksOfFrame(Bun.zstdCompressSync(bytes, { level }), bytes.byteLength);
}

export function decompressBlocks({ blocks, size, windowSize }: ZstdBlocks): Uint8Array {
  return Bun.zstdDecompressSync(Buffer.concat([frameHeader(size, windowSize), blocks, FRAME_END]));
}

/**
 * Extracts the blocks of a complete frame with `size` bytes of content. The frame decodes on its own, so its blocks use
 * no tables of others ("treeless" literals, "repeat" modes), and depend only on the initial repeat offsets unless on a
 * dictionary.
 */
export function blocksOfFrame(frame: Uint8Array, size: number): ZstdBlocks {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  const header = readHeader(bytes);
  if (header.size !== undefined && header.size !== size) throw unusable("it declares another size");
  const windowSize = Math.min(header.windowSize ?? size, size);
  windowLog(windowSize);
  const blocks = takeBlocks(bytes.subarray(header.length, bytes.length - header.checksumLength));
  return { blocks: size === 0 ? NOTHING : blocks, size, windowSize };
}

/** The content size is always declared, in 8 bytes; there is no checksum. */
export function frameHeader(totalSize: number, windowSize: number): Uint8Array {
  if (!Number.isSafeInteger(totalSize) || totalSize < 0) throw new RangeError(`a frame cannot hold ${totalSize} bytes`);
  const header = Buffer.alloc(FRAME_HEADER);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt8(3 << 6, 4);
  header.writeUInt8((windowLog(windowSize) - MIN_WINDOW_LOG) << 3, 5);
  header.writeBigUInt64LE(BigInt(totalSize), 6);
  return header;
}

/**
 * The frame as functions that build its header, an extent for each part, and its end. An extent depends only on its
 * part, so it is the same in every frame.
 */
export function zstdExtents(parts: readonly ZstdPart[]): (() => Uint8Array)[] {
  const totalSize = parts.reduce((sum, part) => sum + part.prefix.byteLength + part.size, 0);
  const largestWindow = parts.reduce((largest, part) => Math.max(largest, part.windowSize), 0);
  const extents = parts.map((part, index) => () => {
    const prefix = index > 0 || part.prefix.byteLength > 0 ? blocksOfPrefix(part.prefix) : NOTHING;
    const { blocks, size, windowSize } = part.open();
    // The header is written already, so blocks of another size or a larger window would corrupt the frame.
    if (size !== part.size) throw new RangeError(`a part has ${size} bytes instead of ${part.size}`);
    if (windowLog(windowSize) > windowLog(largestWindow))
      throw new RangeError("a part needs a larger window than announced");
    return Buffer.concat([prefix, blocks]);
  });
  return [() => frameHeader(totalSize, largestWindow), ...extents, () => FRAME_END];
}

function blocksOfPrefix(prefix: Uint8Array): Uint8Array {
  if (Buffer.compare(prefix, SEPARATOR) === 0) return SEPARATOR_BLOCKS;
  if (Buffer.compare(prefix, PAD) === 0) return PAD_BLOCKS;
  // Without a prefix a part would start with the repeat offsets that the part before it has left.
  throw new RangeError("only a separator or a pad can precede a part");
}

/**
 * A part was compressed for a decoder whose repeat offsets are 1, 4 and 8, as at the start of a frame, so a prefix must
 * restore them. A used offset moves to the front of the three: copying from 8, then 4, then 1 byte back leaves 1, 4, 8.
 * Each copy has 3 bytes, the minimum, and copies spaces, since the 8 bytes before the first copy are spaces.
 */
function prefixBlocks(prefix: Uint8Array): Uint8Array {
  const literal = prefix.subarray(0, prefix.byteLength - 9);
  return Buffer.concat([block(BLOCK.raw, literal), copyBlock(8), copyBlock(4), copyBlock(1)]);
}

/** A compressed block whose only content is a copy of 3 bytes from `offset` bytes back. */
function copyBlock(offset: number): Uint8Array {
  // The values 1 to 3 refer to the repeat offsets. The code is the position of the value's highest bit.
  const value = offset + 3;
  const offsetCode = 31 - Math.clz32(value);
  const content = [
    0, // no literals
    1, // one sequence
    0b01_01_01_00, // three tables, each with the one symbol given below, whose code takes no bits:
    0, // no literals before the match
    offsetCode,
    0, // a match of 3 bytes
    value, // the bit stream: the value's low bits below a bit that marks the end
  ];
  return block(BLOCK.compressed, Uint8Array.from(content));
}

function block(type: number, content: Uint8Array): Uint8Array {
  const header = Buffer.alloc(BLOCK_HEADER);
  header.writeUIntLE((content.byteLength << 3) | (type << 1), 0, BLOCK_HEADER);
  return Buffer.concat([header, content]);
}

function readHeader(frame: Buffer): FrameHeader {
  if (frame.length < SHORTEST_HEADER) throw truncated();
  if (frame.readUInt32LE(0) !== MAGIC) throw unusable("it does not start with the zstd magic number");
  const descriptor = frame.readUInt8(4);
  if ((descriptor & 0x03) !== 0) throw unusable("it needs a dictionary");
  if ((descriptor & 0x08) !== 0) throw unusable("its header uses a reserved bit");
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeAt = isSingleSegment ? 5 : 6;
  const sizeLength = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const checksumLength = (descriptor & 0x04) === 0 ? 0 : 4;
  const length = sizeAt + sizeLength;
  if (frame.length < length + BLOCK_HEADER + checksumLength) throw truncated();
  return {
    length,
    size: sizeLength === 0 ? undefined : contentSize(frame.subarray(sizeAt, length)),
    windowSize: isSingleSegment ? undefined : windowOf(frame.readUInt8(5)),
    checksumLength,
  };
}

function contentSize(bytes: Buffer): number {
  if (bytes.length === 8) return Number(bytes.readBigUInt64LE(0));
  return bytes.readUIntLE(0, bytes.length) + (bytes.length === 2 ? 256 : 0);
}

function windowOf(descriptor: number): number {
  const base = 2 ** (MIN_WINDOW_LOG + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

/** Copies the blocks without the mark of the last one; the blocks must fill `bytes`. */
function takeBlocks(bytes: Buffer): Uint8Array {
  const blocks = new Uint8Array(bytes);
  let at = 0;
  for (;;) {
    if (at + BLOCK_HEADER > bytes.length) throw truncated();
    const header = bytes.readUIntLE(at, BLOCK_HEADER);
    const type = (header >> 1) & 3;
    if (type > BLOCK.compressed) throw unusable("a block has a reserved type");
    const end = at + BLOCK_HEADER + (type === BLOCK.runLength ? 1 : header >> 3);
    if (end > bytes.length) throw truncated();
    if ((header & 1) === 1) {
      if (end < bytes.length) throw unusable("bytes follow its last block");
      blocks[at] = header & 0xfe;
      return blocks;
    }
    at = end;
  }
}

/** The exponent of the smallest window that is large enough and a power of two. */
function windowLog(windowSize: number): number {
  const log = Math.max(MIN_WINDOW_LOG, Math.ceil(Math.log2(windowSize)));
  if (log > MAX_WINDOW_LOG) throw new RangeError(`a window of ${windowSize} bytes is more than decoders accept`);
  return log;
}

function truncated(): Error {
  return unusable("it is truncated");
}

function unusable(reason: string): Error {
  return new Error(`the zstd frame cannot be spliced: ${reason}`);
}
