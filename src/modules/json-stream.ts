// Reads a large JSON object member by member, with memory for its largest value only.
// Hand-written: `JSON.parse` needs the complete text in memory; stream-json is asynchronous and pushes its values.

/** A value and the keys that lead to it. */
export type JsonMember = { readonly path: readonly string[]; readonly value: unknown };

/**
 * Yields the members in document order. For an object whose path `isMap` accepts, yields its members instead.
 * Throws `SyntaxError` unless the input is one complete JSON object.
 */
export function* readMembers(
  chunks: Iterable<Uint8Array>,
  isMap: (path: readonly string[]) => boolean,
): Generator<JsonMember, void, undefined> {
  const source: Source = { chunks: chunks[Symbol.iterator](), bytes: Buffer.alloc(0), at: 0 };
  try {
    if (peek(source) !== OPEN_OBJECT) throw malformed("it is not an object");
    yield* readObject(source, [], isMap);
    if (peek(source) !== undefined) throw malformed("data follows the object");
  } finally {
    source.chunks.return?.();
  }
}

type Source = { readonly chunks: Iterator<Uint8Array>; bytes: Buffer; at: number };

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;

function* readObject(
  source: Source,
  path: readonly string[],
  isMap: (path: readonly string[]) => boolean,
): Generator<JsonMember, void, undefined> {
  source.at += 1;
  if (peek(source) === CLOSE_OBJECT) {
    source.at += 1;
    return;
  }
  for (;;) {
    if (peek(source) !== QUOTE) throw malformed("a key is missing");
    const key = String(readValue(source));
    expectByte(source, COLON);
    const inside = [...path, key];
    if (peek(source) === OPEN_OBJECT && isMap(inside)) yield* readObject(source, inside, isMap);
    else yield { path: inside, value: readValue(source) };
    if (peek(source) === CLOSE_OBJECT) {
      source.at += 1;
      return;
    }
    expectByte(source, COMMA);
  }
}

function expectByte(source: Source, byte: number): void {
  if (peek(source) !== byte) throw malformed(`a ${String.fromCharCode(byte)} is missing`);
  source.at += 1;
}

/** Skips white space and returns the byte after it, still unread; undefined at the end. */
function peek(source: Source): number | undefined {
  for (;;) {
    const byte = source.bytes[source.at];
    if (byte === undefined) {
      if (!fill(source, source.at)) return undefined;
    } else if (!isSpace(byte)) return byte;
    else source.at += 1;
  }
}

function readValue(source: Source): unknown {
  const length = valueLength(source);
  const text = source.bytes.toString("utf8", source.at, source.at + length);
  source.at += length;
  return JSON.parse(text);
}

/** The length of the next value, from its brackets and quotes only; `JSON.parse` then validates the value. */
function valueLength(source: Source): number {
  let depth = 0;
  let isText = false;
  for (let length = 0; ; length += 1) {
    // `fill` changes `at`, which still is the start of the value.
    while (source.at + length >= source.bytes.length) if (!fill(source, source.at)) return length;
    const byte = source.bytes[source.at + length] ?? 0;
    if (isText) {
      if (byte === BACKSLASH) length += 1;
      else if (byte === QUOTE) {
        isText = false;
        if (depth === 0) return length + 1;
      }
    } else if (byte === QUOTE) isText = true;
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth += 1;
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      if (depth === 0) return length;
      depth -= 1;
      if (depth === 0) return length + 1;
    } else if (depth === 0 && (byte === COMMA || isSpace(byte))) return length;
  }
}

/** Drops the bytes before `keep` and appends the next chunk; false at the end of the input. */
function fill(source: Source, keep: number): boolean {
  const next = source.chunks.next();
  if (next.done === true) return false;
  source.bytes = Buffer.concat([source.bytes.subarray(keep), next.value]);
  source.at = 0;
  return true;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function malformed(reason: string): SyntaxError {
  return new SyntaxError(`unexpected JSON: ${reason}`);
}
