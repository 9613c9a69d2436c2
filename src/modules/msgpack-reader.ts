// Reads the part of MessagePack that documents use. https://github.com/msgpack/msgpack/blob/master/spec.md
// Hand-written: `@msgpack/msgpack` refuses the key `__proto__`, which a record can have, and accepts duplicate keys.

/** Maps become objects without a prototype, `bin` becomes a `Uint8Array`. Throws `RangeError` for invalid input. */
export function decodeMsgpack(bytes: Uint8Array): unknown {
  const source: Source = { bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength), at: 0 };
  const value = readValue(source);
  if (source.at !== source.bytes.length) throw malformed("data follows the value");
  return value;
}

type Source = { readonly bytes: Buffer; at: number };

function readValue(source: Source): unknown {
  const code = readNumber(source, 1);
  if (code < 0x80) return code;
  if (code >= 0xe0) return code - 0x100;
  if (code < 0x90) return readMap(source, code & 0x0f);
  if (code < 0xa0) return readArray(source, code & 0x0f);
  if (code < 0xc0) return readText(source, code & 0x1f);
  return readCoded(source, code);
}

function readCoded(source: Source, code: number): unknown {
  switch (code) {
    case 0xc0:
      return null;
    case 0xc2:
    case 0xc3:
      return code === 0xc3;
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return take(source, readNumber(source, 2 ** (code - 0xc4)));
    case 0xcb:
      return take(source, 8).readDoubleBE(0);
    case 0xcc:
    case 0xcd:
    case 0xce:
      return readNumber(source, 2 ** (code - 0xcc));
    case 0xcf:
      return Number(take(source, 8).readBigUInt64BE(0));
    case 0xd0:
    case 0xd1:
    case 0xd2: {
      const width = 2 ** (code - 0xd0);
      return take(source, width).readIntBE(0, width);
    }
    case 0xd3:
      return Number(take(source, 8).readBigInt64BE(0));
    case 0xd9:
    case 0xda:
    case 0xdb:
      return readText(source, readNumber(source, 2 ** (code - 0xd9)));
    case 0xdc:
    case 0xdd:
      return readArray(source, readNumber(source, 2 ** (code - 0xdb)));
    case 0xde:
    case 0xdf:
      return readMap(source, readNumber(source, 2 ** (code - 0xdd)));
    default:
      throw malformed(`it has the unsupported code 0x${code.toString(16)}`);
  }
}

function readMap(source: Source, length: number): Record<string, unknown> {
  const map: Record<string, unknown> = { __proto__: null };
  for (let at = 0; at < length; at += 1) {
    const key = readValue(source);
    if (typeof key !== "string") throw malformed("a key is not a string");
    if (key in map) throw malformed(`a map has the key ${JSON.stringify(key)} twice`);
    map[key] = readValue(source);
  }
  return map;
}

function readArray(source: Source, length: number): unknown[] {
  const array: unknown[] = [];
  for (let at = 0; at < length; at += 1) array.push(readValue(source));
  return array;
}

function readText(source: Source, length: number): string {
  return take(source, length).toString("utf8");
}

function readNumber(source: Source, width: number): number {
  return take(source, width).readUIntBE(0, width);
}

function take(source: Source, length: number): Buffer {
  const end = source.at + length;
  if (end > source.bytes.length) throw malformed("it is truncated");
  const bytes = source.bytes.subarray(source.at, end);
  source.at = end;
  return bytes;
}

function malformed(reason: string): RangeError {
  return new RangeError(`invalid MessagePack: ${reason}`);
}
