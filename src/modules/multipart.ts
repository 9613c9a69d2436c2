// Reads multipart/form-data as it arrives (RFC 7578), part by part, in constant memory. Strict: what two readers could
// take differently is refused.
// By hand, since `Request.formData()` holds the whole body, and busboy skips parts whose headers it cannot read.

import { malformed } from "../errors.ts";

export type Part = {
  readonly name: string;
  /** As sent: never a path to anything. Undefined when the part has none, which does not make it a text. */
  readonly fileName: string | undefined;
  readonly isFile: boolean;
  /** Pulled by the consumer; what it leaves is skipped. */
  readonly chunks: AsyncIterable<Uint8Array>;
};

const MAX_PARTS = 100;
const MAX_HEADERS = 16 * 1024;
const MAX_FIELD = 64 * 1024;
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const LINE_END = /[\n\r\u2028\u2029]/;
const CRLF = Buffer.from("\r\n");
const BLANK_LINE = Buffer.from("\r\n\r\n");

/** The bytes of the one file of a form; its other fields are skipped. Errors: `malformed`. */
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
  if (files === 0) throw malformed("The form has no file: send the package as its part named file.");
}

/** Every part in turn; the end of the body is checked too. Errors: `malformed`. */
export async function* readParts(body: AsyncIterable<Uint8Array>, contentType: string): AsyncGenerator<Part> {
  const delimiter = Buffer.from(`\r\n--${boundaryOf(contentType)}`);
  const input = createInput(body);
  try {
    const before = await input.take(delimiter, CRLF.length);
    if (before.trim() !== "") throw malformed("The multipart body has something before its first part.");
    for (let count = 1; !(await input.endsHere()); count++) {
      if (count > MAX_PARTS) throw malformed(`The form has more than ${MAX_PARTS} parts.`);
      if ((await input.take(CRLF, 64)).trim() !== "") throw malformed("The multipart body has a broken boundary.");
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

/** The text of a small field. Errors: `malformed` when it is not small. */
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
  /** The bytes before the next `delimiter`, which is taken too. */
  until(delimiter: Buffer): AsyncGenerator<Uint8Array, void, undefined>;
  /** The same as a text, when it is no longer than `limit`. */
  take(delimiter: Buffer, limit: number): Promise<string>;
  /** Whether the two dashes of the last boundary follow, which are taken. */
  endsHere(): Promise<boolean>;
  /** Errors: unless only line ends follow. */
  expectNothing(): Promise<void>;
  close(): void;
};

function createInput(body: AsyncIterable<Uint8Array>): Input {
  const iterator = body[Symbol.asyncIterator]();
  // The first boundary is one at the start of a line, like the others.
  let held: Buffer = CRLF;

  async function fill(): Promise<boolean> {
    const next = await iterator.next();
    if (next.done === true) return false;
    const chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength);
    held = held.byteLength === 0 ? chunk : Buffer.concat([held, chunk]);
    return true;
  }

  async function fillOrFail(): Promise<void> {
    if (!(await fill())) throw malformed("The multipart body ended early, or its boundary is not the announced one.");
  }

  function split(at: number, skip = 0): Buffer {
    const head = held.subarray(0, at);
    held = held.subarray(at + skip);
    return head;
  }

  async function* until(delimiter: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const at = held.indexOf(delimiter);
      // The last bytes may be the beginning of the delimiter.
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
          throw malformed(`The multipart body has no part where one should begin, or too long headers.`);
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
          throw malformed("The multipart body goes on after its end.");
      } while (await fill());
    },
    // Not awaited: a body that is stuck never answers.
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
    if (!FIELD_NAME.test(name) || LINE_END.test(line)) throw malformed("A part of the form has a broken header.");
    if (headers.has(name.toLowerCase())) throw malformed("A part of the form has a header twice.");
    headers.set(name.toLowerCase(), line.slice(colon + 1).replace(/^[ \t]+/, ""));
  }
  return headers;
}

function describePart(headers: ReadonlyMap<string, string>): Omit<Part, "chunks"> {
  const disposition = parametersOf(headers.get("content-disposition") ?? "", "form-data");
  const name = disposition?.get("name");
  if (!disposition || name === undefined) throw malformed("A part of the form has no name.");
  const type = headers.get("content-type") ?? "text/plain";
  if (/^multipart\//i.test(type)) throw malformed("A part of the form is a form itself.");
  const encoding = headers.get("content-transfer-encoding") ?? "binary";
  if (!/^(?:binary|7bit|8bit)$/i.test(encoding)) throw malformed("A part of the form has a transfer encoding.");
  const fileName = disposition.get("filename") ?? disposition.get("filename*");
  // rattler's upload to anaconda sends its file with neither a file name nor a type.
  return { name, fileName, isFile: fileName !== undefined || name === "file" || !/^text\/plain\b/i.test(type) };
}

/** The parameters of a header whose value is `type`; undefined for another value, and where one is broken or twice. */
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
