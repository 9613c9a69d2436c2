// Joins blocks that were compressed separately into one bzip2 stream. Blocks are independent, but can start at any bit.
// Hand-written: no library joins streams bit by bit; compressjs compresses the blocks.

import Bzip2 from "compressjs/lib/Bzip2.js";

/**
 * The blocks of a text, each as its length in bits (4 bytes, big endian) and its bits, padded with zeros. Plain bytes
 * that can be stored. The blocks of joined texts are the joined bytes; an empty text has no bytes.
 */
export type Bzip2Blocks = Uint8Array;

const LEVEL = 9;
/** Most bytes in a block of the encoder, after it has replaced four or more equal bytes by four and a count. */
const BLOCK_BYTES = 899_981;
/** A text of this size always fits one block with a byte to spare: four equal bytes become five, others do not grow. */
export const MAX_BZIP2_INPUT: number = Math.floor((BLOCK_BYTES - 1) / 5) * 4;

const SHORT_BLOCK_BYTES = 99_981;
const MAX_SHORT: number = Math.floor((SHORT_BLOCK_BYTES - 1) / 5) * 4;

/**
 * The encoder numbers its code tables, up to six, in an array with one element per distinct byte value, so its output
 * for texts of fewer values is corrupt. A text this short gets two tables, which fit.
 */
const FEW_VALUES_BYTES = 150;

const HEADER: Uint8Array = Buffer.from(`BZh${LEVEL}`);
const LENGTH_BYTES = 4;
/** Offset in a block, after the 6 bytes of the block mark. */
const CRC_AT = 6;
const END_MARK = 0x177245385090;
const END_BITS = 80;

/** Synchronous and slow: for worker threads. */
export function compressBzip2Blocks(bytes: Uint8Array): Bzip2Blocks {
  if (bytes.byteLength > MAX_BZIP2_INPUT) throw new RangeError(`the text must have at most ${MAX_BZIP2_INPUT} bytes`);
  const step = hasFewValues(bytes) ? FEW_VALUES_BYTES : MAX_BZIP2_INPUT;
  const blocks: Uint8Array[] = [];
  for (let at = 0; at < bytes.byteLength; at += step) blocks.push(compressBlock(bytes.subarray(at, at + step)));
  return Buffer.concat(blocks);
}

/** Yields the bytes of the stream in chunks. */
export function* spliceBzip2(parts: Iterable<Bzip2Blocks>): Generator<Uint8Array, void, undefined> {
  const joiner = createBitJoiner();
  let crc = 0;
  yield HEADER;
  for (const part of parts) {
    for (const { bits, bitLength } of blocksOf(part)) {
      crc = ((crc << 1) | (crc >>> 31)) ^ bits.readUInt32BE(CRC_AT);
      yield joiner.add(bits, bitLength);
    }
  }
  const end = Buffer.alloc(END_BITS / 8);
  end.writeUIntBE(END_MARK, 0, CRC_AT);
  end.writeUInt32BE(crc >>> 0, CRC_AT);
  yield joiner.add(end, END_BITS);
  yield joiner.end();
}

function hasFewValues(bytes: Uint8Array): boolean {
  const values = new Set<number>();
  for (const value of bytes) if (values.add(value).size === 6) return false;
  return true;
}

function compressBlock(bytes: Uint8Array): Uint8Array {
  // A block is equal at every level with room for it, and level 1 takes far less time for a short text.
  const level = bytes.byteLength <= MAX_SHORT ? 1 : LEVEL;
  const stream = Buffer.from(Bzip2.compressFile(bytes, undefined, level));
  // The encoder has bugs: this throws unless the block decodes to bytes with the checksum of the input.
  Bzip2.decompressFile(stream);
  const blockBytes = stream.subarray(HEADER.byteLength);
  const bitLength = blockBytes.byteLength * 8 - paddingOf(stream) - END_BITS;
  const block = Buffer.alloc(LENGTH_BYTES + Math.ceil(bitLength / 8));
  block.writeUInt32BE(bitLength, 0);
  blockBytes.copy(block, LENGTH_BYTES);
  const unused = block.byteLength * 8 - LENGTH_BYTES * 8 - bitLength;
  block[block.byteLength - 1] = (block[block.byteLength - 1] ?? 0) & (0xff << unused);
  return block;
}

/** Number of padding bits in the last byte, after the end mark and the checksum of the stream. */
function paddingOf(stream: Buffer): number {
  const tail = BigInt(`0x${stream.subarray(-END_BITS / 8 - 1).toString("hex")}`);
  for (let padding = 0; padding < 8; padding += 1) {
    if (Number(BigInt.asUintN(48, tail >> BigInt(32 + padding))) === END_MARK) return padding;
  }
  throw new Error("the bzip2 stream has no end mark");
}

function* blocksOf(part: Bzip2Blocks): Generator<{ bits: Buffer; bitLength: number }> {
  const bytes = Buffer.from(part.buffer, part.byteOffset, part.byteLength);
  for (let at = 0; at < bytes.byteLength;) {
    const bitLength = bytes.readUInt32BE(at);
    const start = at + LENGTH_BYTES;
    at = start + Math.ceil(bitLength / 8);
    if (at > bytes.byteLength) throw new RangeError("the part ends within a block");
    yield { bits: bytes.subarray(start, at), bitLength };
  }
}

/** Joins bit strings; each call returns the bytes that are complete by then. */
function createBitJoiner(): { add(bits: Uint8Array, bitLength: number): Uint8Array; end(): Uint8Array } {
  /** The bits of the incomplete last byte, highest first. */
  let held = 0;
  let heldBits = 0;

  return {
    // The bits after `bitLength` must be zero.
    add: (bits, bitLength) => {
      const output = new Uint8Array((heldBits + bitLength) >>> 3);
      const shift = heldBits;
      let carry = held;
      for (let at = 0; at < output.length; at += 1) {
        const byte = bits[at] ?? 0;
        output[at] = carry | (byte >>> shift);
        carry = byte << (8 - shift);
      }
      if (bits.length > output.length) carry |= (bits[output.length] ?? 0) >>> shift;
      held = carry & 0xff;
      heldBits = (shift + bitLength) & 7;
      return output;
    },
    end: () => (heldBits > 0 ? Uint8Array.of(held) : new Uint8Array(0)),
  };
}
