// Writes MessagePack: equal values always give equal bytes. https://github.com/msgpack/msgpack/blob/master/spec.md
// Hand-written: shards are named by the hash of their bytes, which a release of `@msgpack/msgpack` could change.

/**
 * Safe integers are never written as floats, a `Uint8Array` becomes `bin`, the keys of an object are sorted by their
 * bytes. Throws `TypeError` for values that JSON cannot represent either: `undefined`, NaN, a `Map`.
 */
export function encodeMsgpack(value: unknown): Uint8Array {
  const sink: Sink = { bytes: Buffer.allocUnsafe(FIRST_SIZE), at: 0 };
  putValue(sink, value);
  return sink.bytes.subarray(0, sink.at);
}

/** Returns the header of a map; the caller appends `count` keys, each followed by its value. */
export function msgpackMapHeader(count: number): Uint8Array {
  const sink: Sink = { bytes: Buffer.allocUnsafe(LONGEST_HEADER), at: 0 };
  putHeader(sink, count, MAP);
  return sink.bytes.subarray(0, sink.at);
}

type Sink = { bytes: Buffer; at: number };

/** The codes of a type for a length that fits in the code itself (below `fixed`), in 8, in 16 and in 32 bits. */
type Kind = {
  readonly fixed: number;
  readonly fix: number;
  readonly byte: number | undefined;
  readonly short: number;
  readonly long: number;
};

const STR: Kind = { fixed: 32, fix: 0xa0, byte: 0xd9, short: 0xda, long: 0xdb };
const BIN: Kind = { fixed: 0, fix: 0, byte: 0xc4, short: 0xc5, long: 0xc6 };
const ARRAY: Kind = { fixed: 16, fix: 0x90, byte: undefined, short: 0xdc, long: 0xdd };
const MAP: Kind = { fixed: 16, fix: 0x80, byte: undefined, short: 0xde, long: 0xdf };

const FIRST_SIZE = 4096;
const LONGEST_HEADER = 9;
const TWO_32 = 2 ** 32;
const SURROGATE = /[\ud800-\udfff]/;

function putValue(sink: Sink, value: unknown): void {
  if (typeof value === "string") return putText(sink, value);
  if (typeof value === "number") return putNumber(sink, value);
  if (value === null) return putCode(sink, 0xc0);
  if (typeof value === "boolean") return putCode(sink, value ? 0xc3 : 0xc2);
  if (value instanceof Uint8Array) return putBytes(sink, value);
  if (Array.isArray(value)) {
    putHeader(sink, value.length, ARRAY);
    for (const item of value) putValue(sink, item);
    return;
  }
  if (!isPlainObject(value)) throw new TypeError(`MessagePack cannot represent this ${typeof value}`);
  const keys = sortedKeys(value);
  putHeader(sink, keys.length, MAP);
  for (const key of keys) {
    putText(sink, key);
    putValue(sink, value[key]);
  }
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}

/** Sorts by code units, which is the order of the bytes unless a character needs two code units. */
function sortedKeys(value: Record<string, unknown>): string[] {
  const keys = Object.keys(value);
  if (!keys.some((key) => SURROGATE.test(key))) return keys.sort();
  return keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** Above 2^53 a number no longer identifies one integer, so it is written as a float; canonical records have none. */
function putNumber(sink: Sink, value: number): void {
  if (!Number.isFinite(value)) throw new TypeError(`MessagePack cannot represent ${value}`);
  if (!Number.isSafeInteger(value)) {
    putCode(sink, 0xcb);
    sink.at = sink.bytes.writeDoubleBE(value, sink.at);
  } else if (value >= 0) putNatural(sink, value);
  else putNegative(sink, value);
}

function putNatural(sink: Sink, value: number): void {
  if (value < 0x80) return putCode(sink, value);
  if (value < TWO_32) return putSized(sink, value, 0xcc, 0xcd, 0xce);
  putCode(sink, 0xcf);
  sink.at = sink.bytes.writeUInt32BE(Math.floor(value / TWO_32), sink.at);
  sink.at = sink.bytes.writeUInt32BE(value % TWO_32, sink.at);
}

function putNegative(sink: Sink, value: number): void {
  if (value >= -0x20) return putCode(sink, 0x100 + value);
  if (value >= -0x80) {
    putCode(sink, 0xd0);
    sink.at = sink.bytes.writeInt8(value, sink.at);
  } else if (value >= -0x8000) {
    putCode(sink, 0xd1);
    sink.at = sink.bytes.writeInt16BE(value, sink.at);
  } else if (value >= -0x80000000) {
    putCode(sink, 0xd2);
    sink.at = sink.bytes.writeInt32BE(value, sink.at);
  } else {
    putCode(sink, 0xd3);
    sink.at = sink.bytes.writeBigInt64BE(BigInt(value), sink.at);
  }
}

function putText(sink: Sink, text: string): void {
  const start = sink.at;
  putHeader(sink, text.length, STR);
  reserve(sink, text.length);
  const { bytes } = sink;
  // Nearly all texts are ASCII, for which this loop is faster than two calls into the engine.
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x80) {
      sink.at = start;
      return putWideText(sink, text);
    }
    bytes[sink.at++] = code;
  }
}

function putWideText(sink: Sink, text: string): void {
  const length = Buffer.byteLength(text);
  putHeader(sink, length, STR);
  reserve(sink, length);
  sink.at += sink.bytes.write(text, sink.at);
}

function putBytes(sink: Sink, value: Uint8Array): void {
  putHeader(sink, value.byteLength, BIN);
  reserve(sink, value.byteLength);
  sink.bytes.set(value, sink.at);
  sink.at += value.byteLength;
}

function putHeader(sink: Sink, length: number, kind: Kind): void {
  if (length < kind.fixed) putCode(sink, kind.fix + length);
  else putSized(sink, length, kind.byte, kind.short, kind.long);
}

/** Writes a code and the number after it, in as few bytes as possible. */
function putSized(sink: Sink, value: number, byte: number | undefined, short: number, long: number): void {
  if (byte !== undefined && value < 0x100) {
    putCode(sink, byte);
    sink.bytes[sink.at++] = value;
  } else if (value < 0x10000) {
    putCode(sink, short);
    sink.at = sink.bytes.writeUInt16BE(value, sink.at);
  } else {
    putCode(sink, long);
    sink.at = sink.bytes.writeUInt32BE(value, sink.at);
  }
}

/** Writes a code, and reserves room for a number after it. */
function putCode(sink: Sink, code: number): void {
  reserve(sink, LONGEST_HEADER);
  sink.bytes[sink.at++] = code;
}

function reserve(sink: Sink, length: number): void {
  const needed = sink.at + length;
  if (needed <= sink.bytes.byteLength) return;
  const grown = Buffer.allocUnsafe(Math.max(needed, sink.bytes.byteLength * 2));
  grown.set(sink.bytes.subarray(0, sink.at));
  sink.bytes = grown;
}
