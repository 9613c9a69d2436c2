// Rows as lines of JSON in one zstd frame, written and read as they flow.

import { rename } from "node:fs/promises";
import { createZstdCompress, createZstdDecompress } from "node:zlib";
import { malformed } from "../../errors.ts";
import { through } from "../../modules/archive/pipe-through.ts";
import { createSha256 } from "../../modules/hash.ts";
import { createTempFile } from "../../modules/storage/temp-file.ts";

export type RowFile = {
  readonly rows: number;
  /** Of the file as it lies there. */
  readonly bytes: number;
  readonly sha256: string;
};

const CHUNK = 256 * 1024;
/** A record, its metadata and the rest of a row are far below that. */
const LONGEST_LINE = 256 * 1024 ** 2;

/** Durable when it is answered. */
export async function writeRowFile(path: string, rows: Iterable<unknown> | AsyncIterable<unknown>): Promise<RowFile> {
  const file = await createTempFile(`${path}.part`);
  const hash = createSha256();
  const counted = { rows: 0 };
  try {
    for await (const chunk of through(createZstdCompress(), linesOf(rows, counted), notCompressed)) {
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

/** Batches of what the lines say. Errors: `malformed` for what is no such file. */
export async function* readRowFile(path: string): AsyncGenerator<unknown[], void, undefined> {
  const broken = (): Error => malformed(`${path} cannot be decompressed.`);
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let rest = "";
  for await (const chunk of through(createZstdDecompress(), Bun.file(path).stream(), broken)) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > LONGEST_LINE) throw malformed(`${path} has a line of more than ${LONGEST_LINE} characters.`);
    if (lines.length > 0) yield lines.map((line) => parsed(path, line));
  }
  if (rest !== "") throw malformed(`${path} ends within a line.`);
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
    throw malformed(`${path} has a line that is no JSON.`);
  }
}
