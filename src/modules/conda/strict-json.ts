// Parses untrusted JSON in one pass and refuses everything that two parsers could read differently.

/** `encoding`: not valid UTF-8, or text that some databases cannot store. */
export type StrictJsonReason = "encoding" | "syntax" | "duplicate-key" | "number" | "depth" | "limit";

export type StrictJsonLimits = {
  /** Nesting depth of arrays and objects. */
  readonly maxDepth: number;
  /** Keys in one object. */
  readonly maxKeys?: number;
  /** UTF-16 code units in one string or key. */
  readonly maxString?: number;
  /** Values in memory at once. */
  readonly maxValues?: number;
};

/** A list of the outermost object that is passed to `take` item by item; the returned object has an empty list. */
export type StrictJsonItems = { readonly key: string; take(item: unknown, index: number): void };

/** Objects have no prototype, so that `__proto__` and `constructor` are keys like any other. */
export type JsonObject = Record<string, unknown>;

export class StrictJsonError extends Error {
  override readonly name = "StrictJsonError";
  readonly reason: StrictJsonReason;

  constructor(reason: StrictJsonReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** Throws `StrictJsonError` and every error of `take()`. */
export function parseStrictJson(bytes: Uint8Array, limits: StrictJsonLimits, items?: StrictJsonItems): unknown {
  const source: Source = {
    text: decode(bytes),
    at: 0,
    maxDepth: limits.maxDepth,
    maxKeys: limits.maxKeys ?? Infinity,
    maxString: limits.maxString ?? Infinity,
    maxValues: limits.maxValues ?? Infinity,
    values: 0,
    items,
  };
  skipSpace(source);
  const value = readValue(source, 0);
  skipSpace(source);
  if (source.at < source.text.length) throw unexpected(source);
  return value;
}

export function emptyObject(): JsonObject {
  return { __proto__: null };
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

type Source = {
  readonly text: string;
  at: number;
  readonly maxDepth: number;
  readonly maxKeys: number;
  readonly maxString: number;
  readonly maxValues: number;
  values: number;
  readonly items: StrictJsonItems | undefined;
};

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const NOT_A_NUMBER = /-?(?:NaN|Infinity)/y;
/** Literals, by the code of their first letter. */
const WORDS: ReadonlyMap<number, readonly [string, unknown]> = new Map([
  [0x74, ["true", true]],
  [0x66, ["false", false]],
  [0x6e, ["null", null]],
]);

function decode(bytes: Uint8Array): string {
  const text = decodeUtf8(bytes);
  if (text.startsWith("\ufeff")) throw new StrictJsonError("encoding", "starts with a byte order mark");
  return text;
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new StrictJsonError("encoding", "is not valid UTF-8");
  }
}

function readValue(source: Source, depth: number): unknown {
  source.values += 1;
  if (source.values > source.maxValues) {
    const message = `has more than ${source.maxValues} values in one list item or outside the list`;
    throw new StrictJsonError("limit", message);
  }
  switch (source.text.charCodeAt(source.at)) {
    case QUOTE:
      return readString(source);
    case OPEN_OBJECT:
      return readObject(source, depth + 1);
    case OPEN_ARRAY:
      return readArray(source, depth + 1);
    default:
      return readScalar(source);
  }
}

function readObject(source: Source, depth: number): JsonObject {
  const object = emptyObject();
  if (isEmpty(source, depth, CLOSE_OBJECT)) return object;
  for (let keys = 1; ; keys++) {
    if (keys > source.maxKeys) throw new StrictJsonError("limit", `has an object with over ${source.maxKeys} keys`);
    const key = readString(source);
    if (key in object) throw new StrictJsonError("duplicate-key", `has the key "${key}" twice in one object`);
    skipSpace(source);
    if (source.text.charCodeAt(source.at) !== COLON) throw unexpected(source);
    source.at++;
    skipSpace(source);
    const isStreamed = depth === 1 && key === source.items?.key && source.text.charCodeAt(source.at) === OPEN_ARRAY;
    object[key] = isStreamed ? streamItems(source, depth + 1, source.items) : readValue(source, depth);
    if (!hasMore(source, CLOSE_OBJECT)) return object;
  }
}

function readArray(source: Source, depth: number): unknown[] {
  const array: unknown[] = [];
  if (isEmpty(source, depth, CLOSE_ARRAY)) return array;
  do array.push(readValue(source, depth));
  while (hasMore(source, CLOSE_ARRAY));
  return array;
}

function streamItems(source: Source, depth: number, items: StrictJsonItems): unknown[] {
  if (isEmpty(source, depth, CLOSE_ARRAY)) return [];
  const { values } = source;
  let index = 0;
  do {
    items.take(readValue(source, depth), index);
    index += 1;
    source.values = values;
  } while (hasMore(source, CLOSE_ARRAY));
  return [];
}

/** Skips the opening bracket, and the closing bracket when it follows directly. */
function isEmpty(source: Source, depth: number, close: number): boolean {
  if (depth > source.maxDepth) throw new StrictJsonError("depth", `is nested deeper than ${source.maxDepth} levels`);
  source.at++;
  skipSpace(source);
  if (source.text.charCodeAt(source.at) !== close) return false;
  source.at++;
  return true;
}

/** Skips the comma or the closing bracket after an item. */
function hasMore(source: Source, close: number): boolean {
  skipSpace(source);
  const code = source.text.charCodeAt(source.at);
  if (code !== COMMA && code !== close) throw unexpected(source);
  source.at++;
  if (code === close) return false;
  skipSpace(source);
  return true;
}

function readString(source: Source): string {
  const { text } = source;
  if (text.charCodeAt(source.at) !== QUOTE) throw unexpected(source);
  const start = source.at + 1;
  let escaped = false;
  let at = start;
  for (let code = text.charCodeAt(at); code !== QUOTE; code = text.charCodeAt(at)) {
    if (!(code >= 0x20)) throw unexpected({ ...source, at });
    if (code === BACKSLASH) escaped = true;
    at += code === BACKSLASH ? 2 : 1;
  }
  source.at = at + 1;
  if (at - start > source.maxString) {
    throw new StrictJsonError("limit", `has a string with over ${source.maxString} characters`);
  }
  return escaped ? withEscapes(source, start, at) : text.slice(start, at);
}

function withEscapes(source: Source, start: number, end: number): string {
  const value = parseQuoted(source, start, end);
  if (!value.isWellFormed()) throw new StrictJsonError("encoding", "has a lone surrogate in a string");
  if (value.includes("\0")) throw new StrictJsonError("encoding", "has the character U+0000 in a string");
  return value;
}

function parseQuoted(source: Source, start: number, end: number): string {
  try {
    return String(JSON.parse(source.text.slice(start - 1, end + 1)));
  } catch {
    throw new StrictJsonError("syntax", `has an invalid escape in the string at character ${start}`);
  }
}

function readScalar(source: Source): unknown {
  const { text, at } = source;
  const word = WORDS.get(text.charCodeAt(at));
  if (word !== undefined && text.startsWith(word[0], at)) {
    source.at += word[0].length;
    return word[1];
  }
  NUMBER.lastIndex = at;
  if (!NUMBER.test(text)) throw unexpected(source);
  source.at = NUMBER.lastIndex;
  return exactNumber(Number(text.slice(at, source.at)));
}

/** Above 2^53 a double does not identify the written integer; infinities would become null. */
function exactNumber(value: number): number {
  if (Math.abs(value) > Number.MAX_SAFE_INTEGER) {
    throw new StrictJsonError("number", "has a number that is too large to represent exactly");
  }
  return value === 0 ? 0 : value;
}

function skipSpace(source: Source): void {
  const { text } = source;
  let code = text.charCodeAt(source.at);
  while (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) code = text.charCodeAt(++source.at);
}

function unexpected(source: Source): StrictJsonError {
  const { text, at } = source;
  if (at >= text.length) return new StrictJsonError("syntax", "is truncated");
  if (text.charCodeAt(at) === 0) return new StrictJsonError("encoding", `has a zero byte at character ${at}`);
  NOT_A_NUMBER.lastIndex = at;
  if (NOT_A_NUMBER.test(text)) return new StrictJsonError("number", "has NaN or Infinity, which JSON does not allow");
  return new StrictJsonError("syntax", `has a JSON syntax error at character ${at}`);
}
