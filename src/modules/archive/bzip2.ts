// Decodes bzip2 block by block in bounded memory; refuses everything but one complete stream.
// Hand-written: compressjs and seek-bzip hold the complete data in memory, and silently stop after the first stream.

import { ArchiveRefusal } from "./refusal.ts";

type BitReader = {
  readonly source: Iterator<Uint8Array>;
  chunk: Uint8Array;
  at: number;
  /** The last bytes read, the newest in the lowest bits; the low `count` bits are unused so far. */
  bits: number;
  count: number;
};

type HuffmanTable = {
  /** For every value of the next `FAST_BITS` bits: `symbol << 5 | length`, or 0 where the code is longer. */
  readonly fast: Uint16Array;
  /** The largest code of each length, -1 where there is none. */
  readonly limit: Int32Array;
  /** By code length: the number to add to a code to get its index in `symbols`. */
  readonly offset: Int32Array;
  readonly symbols: Uint16Array;
};

type BlockHeader = {
  readonly crc: number;
  readonly origin: number;
  readonly bytes: Uint8Array;
  readonly selectors: Uint8Array;
  readonly tables: readonly HuffmanTable[];
};

const OUTPUT = 1024 ** 2;
const FAST_BITS = 10;
const MAX_CODE_BITS = 20;
/** Symbols that are decoded with one table. */
const GROUP = 50;
/** Bytes of the longest run: four equal bytes and a count of up to 255 more. */
const LONGEST_RUN = 259;
const MAX_RUN_WEIGHT = 2 ** 21;

/** Yields the decoded bytes; each chunk is overwritten by the next one. */
export function* decompressBzip2(source: Iterable<Uint8Array>): Generator<Uint8Array, void, undefined> {
  const reader: BitReader = { source: source[Symbol.iterator](), chunk: new Uint8Array(0), at: 0, bits: 0, count: 0 };
  yield* decodeStream(reader, new Uint8Array(OUTPUT));
  if (!hasMore(reader)) return;
  const isStream = [0x42, 0x5a, 0x68].every((byte) => hasMore(reader) && take(reader, 8) === byte);
  throw isStream ? severalStreams() : trailing();
}

function* decodeStream(reader: BitReader, output: Uint8Array): Generator<Uint8Array> {
  const level = take(reader, 8) === 0x42 && take(reader, 16) === 0x5a68 ? take(reader, 8) - 0x30 : 0;
  if (level < 1 || level > 9) throw corrupt("it does not start with a bzip2 header");
  const block = new Uint32Array(level * 100_000);
  const counts = new Int32Array(256);
  let crc = 0;
  for (;;) {
    const magic = [take(reader, 16), take(reader, 16), take(reader, 16)].map((part) => part.toString(16)).join(" ");
    if (magic === "1772 4538 5090") break;
    if (magic !== "3141 5926 5359") throw corrupt("a block does not start with the block mark");
    const header = readBlockHeader(reader);
    const length = decodeSymbols(reader, header, block, counts);
    if (header.origin >= length) throw corrupt("the start position of a block is outside the block");
    yield* invert(header, block, length, counts, output);
    crc = ((crc << 1) | (crc >>> 31)) ^ header.crc;
  }
  if (take32(reader) !== crc >>> 0) throw corrupt("the checksum of the stream is wrong");
  reader.count = 0;
}

function readBlockHeader(reader: BitReader): BlockHeader {
  const crc = take32(reader);
  if (take(reader, 1) === 1) throw corrupt("it uses the randomized blocks of 1996");
  const origin = take(reader, 24);
  const bytes = readUsedBytes(reader);
  if (bytes.length === 0) throw corrupt("a block uses no byte at all");
  const tableCount = take(reader, 3);
  if (tableCount < 2 || tableCount > 6) throw corrupt("a block has an invalid number of tables");
  const selectors = new Uint8Array(take(reader, 15));
  const order = Uint8Array.of(0, 1, 2, 3, 4, 5);
  for (let index = 0; index < selectors.length; index += 1) {
    let rank = 0;
    while (take(reader, 1) === 1) rank += 1;
    if (rank >= tableCount) throw corrupt("a block selects a missing table");
    selectors[index] = moveToFront(order, rank);
  }
  const tables = Array.from({ length: tableCount }, () => readTable(reader, bytes.length + 2));
  return { crc, origin, bytes, selectors, tables };
}

function readUsedBytes(reader: BitReader): Uint8Array {
  const ranges = take(reader, 16);
  const bytes: number[] = [];
  for (let high = 0; high < 16; high += 1) {
    if (((ranges >> (15 - high)) & 1) === 0) continue;
    const used = take(reader, 16);
    for (let low = 0; low < 16; low += 1) if (((used >> (15 - low)) & 1) === 1) bytes.push(high * 16 + low);
  }
  return Uint8Array.from(bytes);
}

function readTable(reader: BitReader, size: number): HuffmanTable {
  const lengths = new Uint8Array(size);
  let length = take(reader, 5);
  for (let symbol = 0; symbol < size; symbol += 1) {
    while (length >= 1 && length <= MAX_CODE_BITS && take(reader, 1) === 1) length += take(reader, 1) === 1 ? -1 : 1;
    if (length < 1 || length > MAX_CODE_BITS) throw corrupt("a code has an invalid length");
    lengths[symbol] = length;
  }
  return buildTable(lengths);
}

function buildTable(lengths: Uint8Array): HuffmanTable {
  const fast = new Uint16Array(1 << FAST_BITS);
  const limit = new Int32Array(MAX_CODE_BITS + 1).fill(-1);
  const offset = new Int32Array(MAX_CODE_BITS + 1);
  const symbols = new Uint16Array(lengths.length);
  let code = 0;
  let placed = 0;
  for (let length = 1; length <= MAX_CODE_BITS; length += 1) {
    offset[length] = placed - code;
    for (let symbol = 0; symbol < lengths.length; symbol += 1) {
      if (lengths[symbol] !== length) continue;
      if (code >= 1 << length) throw corrupt("a table has more codes than their lengths allow");
      symbols[placed] = symbol;
      placed += 1;
      limit[length] = code;
      const spare = FAST_BITS - length;
      if (spare >= 0) fast.fill((symbol << 5) | length, code << spare, (code + 1) << spare);
      code += 1;
    }
    code <<= 1;
  }
  return { fast, limit, offset, symbols };
}

/** Undoes the Huffman codes, the zero runs and the move-to-front order; fills `block` and counts each byte value. */
function decodeSymbols(reader: BitReader, header: BlockHeader, block: Uint32Array, counts: Int32Array): number {
  const { bytes, selectors, tables } = header;
  const order = bytes.slice();
  const endOfBlock = bytes.length + 1;
  let [length, run, weight, group, left] = [0, 0, 1, 0, 0];
  let table = tables[0];
  counts.fill(0);
  for (;;) {
    if (left === 0) {
      table = tables[selectors[group] ?? -1];
      group += 1;
      left = GROUP;
    }
    left -= 1;
    if (table === undefined) throw corrupt("a block is longer than its list of tables covers");
    const symbol = nextSymbol(reader, table);
    if (symbol <= 1) {
      if (weight > MAX_RUN_WEIGHT) throw corrupt("a run is longer than a block");
      run += weight << symbol;
      weight <<= 1;
      continue;
    }
    if (run > 0) {
      const byte = order[0] ?? 0;
      if (length + run > block.length) throw corrupt("a block is longer than the stream's block size");
      block.fill(byte, length, length + run);
      counts[byte] = (counts[byte] ?? 0) + run;
      length += run;
      [run, weight] = [0, 1];
    }
    if (symbol === endOfBlock) return length;
    if (length === block.length) throw corrupt("a block is longer than the stream's block size");
    const byte = moveToFront(order, symbol - 1);
    counts[byte] = (counts[byte] ?? 0) + 1;
    block[length] = byte;
    length += 1;
  }
}

function nextSymbol(reader: BitReader, table: HuffmanTable): number {
  if (reader.count < MAX_CODE_BITS) fill(reader, MAX_CODE_BITS);
  const { bits, count } = reader;
  const entry = table.fast[(bits >>> (count - FAST_BITS)) & ((1 << FAST_BITS) - 1)] ?? 0;
  if (entry !== 0) {
    reader.count = count - (entry & 31);
    return entry >>> 5;
  }
  for (let length = FAST_BITS + 1; length <= MAX_CODE_BITS; length += 1) {
    const code = (bits >>> (count - length)) & ((1 << length) - 1);
    if (code > (table.limit[length] ?? -1)) continue;
    reader.count = count - length;
    return table.symbols[code + (table.offset[length] ?? 0)] ?? 0;
  }
  throw corrupt("it has bits that match no code");
}

/** Undoes the Burrows-Wheeler transform and the initial run-length encoding, and checks the block's checksum. */
function* invert(
  header: BlockHeader,
  block: Uint32Array,
  length: number,
  counts: Int32Array,
  output: Uint8Array,
): Generator<Uint8Array> {
  let sum = 0;
  for (let byte = 0; byte < 256; byte += 1) {
    const count = counts[byte] ?? 0;
    counts[byte] = sum;
    sum += count;
  }
  for (let index = 0; index < length; index += 1) {
    const byte = (block[index] ?? 0) & 0xff;
    const sorted = counts[byte] ?? 0;
    counts[byte] = sorted + 1;
    block[sorted] = (block[sorted] ?? 0) | (index << 8);
  }
  let position = (block[header.origin] ?? 0) >>> 8;
  let [crc, filled, previous, equal] = [-1, 0, -1, 0];
  for (let index = 0; index < length; index += 1) {
    const entry = block[position] ?? 0;
    const byte = entry & 0xff;
    position = entry >>> 8;
    if (equal === 4) {
      crc = crcOfRun(crc, previous, byte);
      output.fill(previous, filled, filled + byte);
      filled += byte;
      [equal, previous] = [0, -1];
    } else {
      crc = (crc << 8) ^ (CRC_TABLE[(crc >>> 24) ^ byte] ?? 0);
      output[filled] = byte;
      filled += 1;
      equal = byte === previous ? equal + 1 : 1;
      previous = byte;
    }
    if (filled > output.length - LONGEST_RUN) {
      yield output.subarray(0, filled);
      filled = 0;
    }
  }
  if (equal === 4) throw corrupt("a run ends without its length");
  if (~crc >>> 0 !== header.crc) throw corrupt("the checksum of a block is wrong");
  yield output.subarray(0, filled);
}

/** The checksum after `count` more equal bytes. Fast for long runs, by which little input gives the most output. */
function crcOfRun(crc: number, byte: number, count: number): number {
  if (count < SHORT_RUN) {
    let sum = crc;
    for (let index = 0; index < count; index += 1) sum = (sum << 8) ^ (CRC_TABLE[(sum >>> 24) ^ byte] ?? 0);
    return sum;
  }
  const table = (RUN_TABLES[count] ??= buildRunTable(count));
  return (
    (table[crc & 0xff] ?? 0) ^
    (table[256 + ((crc >>> 8) & 0xff)] ?? 0) ^
    (table[512 + ((crc >>> 16) & 0xff)] ?? 0) ^
    (table[768 + (crc >>> 24)] ?? 0) ^
    (table[1024 + byte] ?? 0)
  );
}

/** What each byte of the checksum, and the repeated byte, become after `count` steps; xor combines the results. */
function buildRunTable(count: number): Int32Array {
  const table = new Int32Array(5 * 256);
  for (let bit = 0; bit < 40; bit += 1) {
    const byte = bit < 32 ? 0 : 1 << (bit - 32);
    let value = bit < 32 ? 1 << bit : 0;
    for (let index = 0; index < count; index += 1) value = (value << 8) ^ (CRC_TABLE[(value >>> 24) ^ byte] ?? 0);
    const start = (bit >> 3) * 256;
    const half = 1 << (bit & 7);
    for (let index = 0; index < half; index += 1) table[start + half + index] = value ^ (table[start + index] ?? 0);
  }
  return table;
}

/** Moves the value at `rank` to the front and returns it. */
function moveToFront(order: Uint8Array, rank: number): number {
  const value = order[rank] ?? 0;
  if (rank > 32) order.copyWithin(1, 0, rank);
  else for (let index = rank; index > 0; index -= 1) order[index] = order[index - 1] ?? 0;
  order[0] = value;
  return value;
}

function take(reader: BitReader, bits: number): number {
  if (reader.count < bits) fill(reader, bits);
  reader.count -= bits;
  return (reader.bits >>> reader.count) & ((1 << bits) - 1);
}

function take32(reader: BitReader): number {
  return take(reader, 16) * 0x10000 + take(reader, 16);
}

function fill(reader: BitReader, bits: number): void {
  while (reader.count < bits) {
    if (!hasMore(reader)) throw corrupt("it is truncated");
    reader.bits = (reader.bits << 8) | (reader.chunk[reader.at] ?? 0);
    reader.at += 1;
    reader.count += 8;
  }
}

function hasMore(reader: BitReader): boolean {
  while (reader.at === reader.chunk.length) {
    const next = reader.source.next();
    if (next.done) return false;
    reader.chunk = next.value;
    reader.at = 0;
  }
  return true;
}

function corrupt(reason: string): ArchiveRefusal {
  const fix = "Check that the upload is complete and build or download the package again.";
  return new ArchiveRefusal("bzip2-corrupt", "", `The bzip2 data is broken: ${reason}.`, fix);
}

/** rattler stops after the first stream; conda and mamba read all streams. */
function severalStreams(): ArchiveRefusal {
  const message = "The file holds several bzip2 streams, and some clients read only the first.";
  const fix = "Write the archive as one bzip2 stream, for example with bzip2 instead of pbzip2.";
  return new ArchiveRefusal("bzip2-several-streams", "", message, fix);
}

function trailing(): ArchiveRefusal {
  const fix = "Remove the bytes after the end of the bzip2 data, or build the package again.";
  return new ArchiveRefusal("bzip2-trailing-data", "", "Bytes that are not bzip2 follow the bzip2 data.", fix);
}

const SHORT_RUN = 16;
/** The index is the length of the run. */
const RUN_TABLES: (Int32Array | undefined)[] = [];

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc << 1) ^ (crc < 0 ? 0x04c11db7 : 0);
  return crc;
});
