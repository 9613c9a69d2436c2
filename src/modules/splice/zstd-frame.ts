// Joins pieces, each compressed alone, into one zstd frame. https://www.rfc-editor.org/rfc/rfc8878
// By hand, since libraries put frames one behind the other, and clients read the first only.

/** The blocks of a text that was compressed alone, none marked as the last. Plain data: it can be stored. */
export type ZstdBlocks = {
  readonly blocks: Uint8Array;
  /** Bytes of the text. */
  readonly size: number;
  /** How far back its blocks reach at most; never above `size`. */
  readonly windowSize: number;
};

/** A place in a document: what is known of its piece, and the piece itself once it is asked for. */
export type ZstdPart = Pick<ZstdBlocks, "size" | "windowSize"> & {
  /** The text in front of it: `SEPARATOR` or `PAD`, and nothing in front of the first. */
  readonly prefix: Uint8Array;
  open(): ZstdBlocks;
};

type FrameHeader = {
  readonly length: number;
  /** What the frame says that it holds. */
  readonly size: number | undefined;
  /** Undefined where it is the size. */
  readonly windowSize: number | undefined;
  readonly checksumLength: number;
};

/** Spaces that every prefix ends with: room for the blocks that bring the decoder back to its first state. */
const SPACES = " ".repeat(17);
/** Stands between two segments. */
export const SEPARATOR: Uint8Array = Buffer.from(`,${SPACES}`);
/** Stands where a comma may not. */
export const PAD: Uint8Array = Buffer.from(SPACES);

/** Above it only the time grows. */
export const ZSTD_LEVEL = 15;
const MAGIC = 0xfd2fb528;
/** Magic, descriptor, window, 8 bytes of size. */
const FRAME_HEADER = 14;
const SHORTEST_HEADER = 6;
const BLOCK_HEADER = 3;
const MIN_WINDOW_LOG = 10;
/** What decoders accept unless they are told otherwise. */
const MAX_WINDOW_LOG = 27;
const BLOCK = { raw: 0, runLength: 1, compressed: 2 };

const NOTHING = new Uint8Array(0);
/** An empty raw block marked as the last, so that no block of a piece has to be. */
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
 * Takes the blocks out of a whole frame that holds `size` bytes. As the frame decodes alone, its blocks use no table of
 * others ("treeless" literals, "repeat" modes) and rely on nothing but the first repeat offsets, unless on a dictionary.
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
 * The frame as a header, an extent for each part, and an end, each made when it is asked for. The extent of a part
 * depends on nothing but the part, so it is the same in every frame.
 */
export function zstdExtents(parts: readonly ZstdPart[]): (() => Uint8Array)[] {
  const totalSize = parts.reduce((sum, part) => sum + part.prefix.byteLength + part.size, 0);
  const largestWindow = parts.reduce((largest, part) => Math.max(largest, part.windowSize), 0);
  const extents = parts.map((part, index) => () => {
    const prefix = index > 0 || part.prefix.byteLength > 0 ? blocksOfPrefix(part.prefix) : NOTHING;
    const { blocks, size, windowSize } = part.open();
    // The header has gone out already, so a piece that differs from what was said of it would break the frame.
    if (size !== part.size) throw new RangeError(`a piece has ${size} bytes instead of ${part.size}`);
    if (windowLog(windowSize) > windowLog(largestWindow))
      throw new RangeError("a piece needs a larger window than was said");
    return Buffer.concat([prefix, blocks]);
  });
  return [() => frameHeader(totalSize, largestWindow), ...extents, () => FRAME_END];
}

function blocksOfPrefix(prefix: Uint8Array): Uint8Array {
  if (Buffer.compare(prefix, SEPARATOR) === 0) return SEPARATOR_BLOCKS;
  if (Buffer.compare(prefix, PAD) === 0) return PAD_BLOCKS;
  // Without a prefix a piece would begin with the repeat offsets that the one before has left.
  throw new RangeError("only a separator or a pad can stand in front of a piece");
}

/**
 * A piece was compressed for a decoder whose repeat offsets are 1, 4 and 8, as at the start of a frame, so a prefix has to
 * leave them so. An offset that is used moves to the front of the three: copying from 8, then 4, then 1 byte back leaves
 * 1, 4, 8. Each copy is of 3 bytes, the shortest, and what it finds are spaces, as the 8 bytes before the first are.
 */
function prefixBlocks(prefix: Uint8Array): Uint8Array {
  const literal = prefix.subarray(0, prefix.byteLength - 9);
  return Buffer.concat([block(BLOCK.raw, literal), copyBlock(8), copyBlock(4), copyBlock(1)]);
}

/** A compressed block that copies 3 bytes from `offset` back and holds nothing else. */
function copyBlock(offset: number): Uint8Array {
  // The values 1 to 3 mean the repeat offsets. A value is its highest bit, which is the code, and the bits below it.
  const value = offset + 3;
  const offsetCode = 31 - Math.clz32(value);
  const content = [
    0, // no literals
    1, // one sequence
    0b01_01_01_00, // three tables, each of the one symbol that follows, whose codes take no bits:
    0, // no literals before the match
    offsetCode,
    0, // a match of 3 bytes
    value, // the bit stream: the value's low bits under a bit that marks its end
  ];
  return block(BLOCK.compressed, Uint8Array.from(content));
}

function block(type: number, content: Uint8Array): Uint8Array {
  const header = Buffer.alloc(BLOCK_HEADER);
  header.writeUIntLE((content.byteLength << 3) | (type << 1), 0, BLOCK_HEADER);
  return Buffer.concat([header, content]);
}

function readHeader(frame: Buffer): FrameHeader {
  if (frame.length < SHORTEST_HEADER) throw tooShort();
  if (frame.readUInt32LE(0) !== MAGIC) throw unusable("it does not start like zstd");
  const descriptor = frame.readUInt8(4);
  if ((descriptor & 0x03) !== 0) throw unusable("it needs a dictionary");
  if ((descriptor & 0x08) !== 0) throw unusable("its header uses a reserved bit");
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeAt = isSingleSegment ? 5 : 6;
  const sizeLength = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const checksumLength = (descriptor & 0x04) === 0 ? 0 : 4;
  const length = sizeAt + sizeLength;
  if (frame.length < length + BLOCK_HEADER + checksumLength) throw tooShort();
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

/** A copy of the blocks, the last no longer marked; they must fill the bytes. */
function takeBlocks(bytes: Buffer): Uint8Array {
  const blocks = new Uint8Array(bytes);
  let at = 0;
  for (;;) {
    if (at + BLOCK_HEADER > bytes.length) throw tooShort();
    const header = bytes.readUIntLE(at, BLOCK_HEADER);
    const type = (header >> 1) & 3;
    if (type > BLOCK.compressed) throw unusable("a block has a reserved type");
    const end = at + BLOCK_HEADER + (type === BLOCK.runLength ? 1 : header >> 3);
    if (end > bytes.length) throw tooShort();
    if ((header & 1) === 1) {
      if (end < bytes.length) throw unusable("something follows its last block");
      blocks[at] = header & 0xfe;
      return blocks;
    }
    at = end;
  }
}

/** The least window of a power of two bytes that is large enough. */
function windowLog(windowSize: number): number {
  const log = Math.max(MIN_WINDOW_LOG, Math.ceil(Math.log2(windowSize)));
  if (log > MAX_WINDOW_LOG) throw new RangeError(`a window of ${windowSize} bytes is more than decoders accept`);
  return log;
}

function tooShort(): Error {
  return unusable("it ends too early");
}

function unusable(reason: string): Error {
  return new Error(`the zstd frame cannot be spliced: ${reason}`);
}
