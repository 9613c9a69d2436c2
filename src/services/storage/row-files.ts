// Files of rows: lines of JSON in one zstd frame, written and read as streams.

import { rename } from "node:fs/promises";
import { createZstdCompress, createZstdDecompress } from "node:zlib";
import { malformed } from "../../errors.ts";
import { pipeThrough } from "../../modules/archive/pipe-through.ts";
import { createSha256 } from "../../modules/hash.ts";
import { createTempFile } from "../../modules/storage/temp-file.ts";

export type RowFile = {
  readonly rows: number;
  /** Size of the compressed file. */
  readonly bytes: number;
  readonly sha256: string;
};

const CHUNK = 256 * 1024;
/** A row, with its record and metadata, is far shorter. */
const LONGEST_LINE = 256 * 1024 ** 2;

/** Writes a file of rows; the file is durable when this resolves. */
export async function writeRowFile(path: string, rows: Iterable<unknown> | AsyncIterable<unknown>): Promise<RowFile> {
  const file = await createTempFile(`${path}.part`);
  const hash = createSha256();
  const counted = { rows: 0 };
  try {
    for await (const chunk of pipeThrough(createZstdCompress(), linesOf(rows, counted), notCompressed)) {
      hash.update(chunk);
      await file.append(chunk);
    }
    await file.sync();
    await rename(file.path, path);
    return { rows: counted.rows, bytes: file.size, sha256: hash.digest("hex") };
  } finally {
    await file.remove();
  }
}

/** Yields the parsed lines in batches. Errors: `malformed` when this is not a valid file of rows. */
export async function* readRowFile(path: string): AsyncGenerator<unknown[], void, undefined> {
  const notDecompressed = (): Error => malformed(`${path} cannot be decompressed.`);
  const decoder = new TextDecoder("utf-8", { fatal: true });
  // The parts of an incomplete line: a line of many chunks is joined once.
  let rest: string[] = [];
  let length = 0;
  for await (const chunk of pipeThrough(createZstdDecompress(), Bun.file(path).stream(), notDecompressed)) {
    const [first = "", ...others] = decoder.decode(chunk, { stream: true }).split("\n");
    rest.push(first);
    length += first.length;
    const last = others.pop();
    if (last !== undefined) {
      yield [rest.join(""), ...others].map((line) => parsed(path, line));
      [rest, length] = [[last], last.length];
    }
    if (length > LONGEST_LINE) throw malformed(`${path} has a line of more than ${LONGEST_LINE} characters.`);
  }
  if (length > 0) throw malformed(`${path} is truncated: its last line is incomplete.`);
}

function notCompressed(): Error {
  return new Error("the rows could not be compressed");
}

async function* linesOf(
  rows: Iterable<unknown> | AsyncIterable<unknown>,
  counted: { rows: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  let text = "";
  for await (const row of rows) {
    counted.rows += 1;
    text += `${JSON.stringify(row)}\n`;
    if (text.length < CHUNK) continue;
    yield Buffer.from(text);
    text = "";
  }
  yield Buffer.from(text);
}

function parsed(path: string, line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw malformed(`${path} has a line that is not JSON.`);
  }
}
