// Reads multipart/form-data (RFC 7578) as it arrives, part by part, in constant memory. Strict: refuses a body that two
// readers could interpret differently.
// Hand-written: `Request.formData()` holds the complete body in memory, busboy skips parts with unreadable headers.

import { malformed } from "../errors.ts";

export type Part = {
  readonly name: string;
  /** As sent; never use it as a path. Undefined when the part has none, although the part can still be a file. */
  readonly fileName: string | undefined;
  readonly isFile: boolean;
  /** Pulled by the consumer; the bytes that it does not read are skipped. */
  readonly chunks: AsyncIterable<Uint8Array>;
};

const MAX_PARTS = 100;
const MAX_HEADERS = 16 * 1024;
const MAX_FIELD = 64 * 1024;
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const LINE_END = /[\n\r\u2028\u2029]/;
const CRLF = Buffer.from("\r\n");
const BLANK_LINE = Buffer.from("\r\n\r\n");

/** Yields the bytes of the only file of a form, and skips the other fields. Errors: `malformed`. */
export async function* readMultipart(body: AsyncIterable<Uint8Array>, contentType: string): AsyncGenerator<Uint8Array> {
  let files = 0;
  for await (const part of readParts(body, contentType)) {
    if (part.isFile) {
      files += 1;
      if (files > 1) throw malformed("The form has more than one file: send one package at a time.");
      yield* part.chunks;
    } else {
      await readField(part);
    }
  }
  if (files === 0) throw malformed("The form has no file: send the package in a part with the name file.");
}

/** Yields every part in order, and checks the end of the body. Errors: `malformed`. */
export async function* readParts(body: AsyncIterable<Uint8Array>, contentType: string): AsyncGenerator<Part> {
  const delimiter = Buffer.from(`\r\n--${boundaryOf(contentType)}`);
  const input = createInput(body);
  try {
    const before = await input.take(delimiter, CRLF.length);
    if (before.trim() !== "") throw malformed("The multipart body has data before its first part.");
    for (let count = 1; !(await input.endsHere()); count++) {
      if (count > MAX_PARTS) throw malformed(`The form has more than ${MAX_PARTS} parts.`);
      if ((await input.take(CRLF, 64)).trim() !== "") throw malformed("The multipart body has an invalid boundary.");
      const headers = parseHeaders(await input.take(BLANK_LINE, MAX_HEADERS));
      let isRead = false;
      async function* content(): AsyncGenerator<Uint8Array> {
        yield* input.until(delimiter);
        isRead = true;
      }
      yield { ...describePart(headers), chunks: content() };
      if (!isRead) for await (const _ of input.until(delimiter));
    }
    await input.expectNothing();
  } finally {
    input.close();
  }
}

/** Returns the text of a field. Errors: `malformed` when it is larger than `MAX_FIELD`. */
export async function readField(part: Part): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of part.chunks) {
    size += chunk.byteLength;
    if (size > MAX_FIELD) throw malformed(`A field of the form has more than ${MAX_FIELD} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

type Input = {
  /** Yields the bytes before the next `delimiter`, and consumes the delimiter too. */
  until(delimiter: Buffer): AsyncGenerator<Uint8Array, void, undefined>;
  /** The same, returned as a text. Errors: `malformed` when it has more than `limit` bytes. */
  take(delimiter: Buffer, limit: number): Promise<string>;
  /** Whether the two dashes of the last boundary follow; consumes them if so. */
  endsHere(): Promise<boolean>;
  /** Reads to the end. Errors: `malformed` unless only white space follows. */
  expectNothing(): Promise<void>;
  close(): void;
};

function createInput(body: AsyncIterable<Uint8Array>): Input {
  const iterator = body[Symbol.asyncIterator]();
  // A line end in front, so that the first boundary matches the delimiter like all others.
  let held: Buffer = CRLF;

  async function fill(): Promise<boolean> {
    const next = await iterator.next();
    if (next.done === true) return false;
    const chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    held = held.byteLength === 0 ? chunk : Buffer.concat([held, chunk]);
    return true;
  }

  async function fillOrFail(): Promise<void> {
    if (!(await fill())) throw malformed("The multipart body is truncated, or its boundary is not the announced one.");
  }

  function split(at: number, skip = 0): Buffer {
    const head = held.subarray(0, at);
    held = held.subarray(at + skip);
    return head;
  }

  async function* until(delimiter: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const at = held.indexOf(delimiter);
      // The last bytes can be the beginning of the delimiter.
      const sure = at >= 0 ? at : held.byteLength - delimiter.byteLength + 1;
      const head = sure >= 0 ? split(sure, at >= 0 ? delimiter.byteLength : 0) : undefined;
      if (head && head.byteLength > 0) yield head;
      if (at >= 0) return;
      await fillOrFail();
    }
  }

  return {
    until,
    take: async (delimiter, limit) => {
      const chunks: Uint8Array[] = [];
      let size = 0;
      for await (const chunk of until(delimiter)) {
        size += chunk.byteLength;
        if (size > limit)
          throw malformed("The multipart body has no part where one is expected, or its headers are too long.");
        chunks.push(chunk);
      }
      return Buffer.concat(chunks).toString();
    },
    endsHere: async () => {
      while (held.byteLength < 2) await fillOrFail();
      const isEnd = held[0] === 0x2d && held[1] === 0x2d;
      if (isEnd) split(2);
      return isEnd;
    },
    expectNothing: async () => {
      do {
        if (split(held.byteLength).toString("latin1").trim() !== "")
          throw malformed("The multipart body has data after its last boundary.");
      } while (await fill());
    },
    // Not awaited, since a stuck body never responds.
    close: () => void Promise.resolve(iterator.return?.()).catch(() => undefined),
  };
}

function boundaryOf(contentType: string): string {
  const boundary = parametersOf(contentType, "multipart/form-data")?.get("boundary") ?? "";
  if (/^[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]$/.test(boundary)) return boundary;
  throw malformed("The Content-Type must be multipart/form-data with a boundary of 1 to 70 characters.");
}

function parseHeaders(text: string): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (const line of text.split("\r\n")) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon));
    if (!FIELD_NAME.test(name) || LINE_END.test(line)) throw malformed("A part of the form has an invalid header.");
    if (headers.has(name.toLowerCase())) throw malformed("A part of the form has the same header twice.");
    headers.set(name.toLowerCase(), line.slice(colon + 1).replace(/^[ \t]+/, ""));
  }
  return headers;
}

function describePart(headers: ReadonlyMap<string, string>): Omit<Part, "chunks"> {
  const disposition = parametersOf(headers.get("content-disposition") ?? "", "form-data");
  const name = disposition?.get("name");
  if (!disposition || name === undefined) throw malformed("A part of the form has no name.");
  const type = headers.get("content-type") ?? "text/plain";
  if (/^multipart\//i.test(type)) throw malformed("A part of the form is itself a multipart form.");
  const encoding = headers.get("content-transfer-encoding") ?? "binary";
  if (!/^(?:binary|7bit|8bit)$/i.test(encoding))
    throw malformed("A part of the form has an unsupported transfer encoding.");
  const fileName = disposition.get("filename") ?? disposition.get("filename*");
  // The anaconda upload of rattler sends the file with neither a file name nor a type.
  return { name, fileName, isFile: fileName !== undefined || name === "file" || !/^text\/plain\b/i.test(type) };
}

/** The parameters of a header with the value `type`; undefined for another value, or a bad or repeated parameter. */
function parametersOf(header: string, type: string): ReadonlyMap<string, string> | undefined {
  if (!header.toLowerCase().startsWith(type)) return undefined;
  const rest = header.slice(type.length);
  const parameters = new Map<string, string>();
  let end = 0;
  for (const match of rest.matchAll(/\s*;\s*([\w*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))/gy)) {
    const [text, name = "", quoted, bare = ""] = match;
    if (parameters.has(name.toLowerCase())) return undefined;
    parameters.set(name.toLowerCase(), quoted ?? bare);
    end = match.index + text.length;
  }
  return ["", ";"].includes(rest.slice(end).trim()) ? parameters : undefined;
}
