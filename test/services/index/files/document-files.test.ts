import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDerivedFiles } from "../../../../src/modules/storage/derived-files.ts";
import type { Composition } from "../../../../src/services/index/segments/compose.ts";
import { createDocumentFiles, type DocumentFiles } from "../../../../src/services/index/files/document-files.ts";

const FOLDER = "1/noarch/repodata.json";

let root: string;
let documents: DocumentFiles;
let made: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "condarium-documents-"));
  documents = createDocumentFiles({ files: createDerivedFiles(root) });
  made = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A chunk is identified by its text; one in capitals has no key. */
function composition(hash: string, ...texts: readonly string[]): Composition {
  return {
    hash: hash.repeat(64),
    textSize: 0,
    chunks: () =>
      texts.map((text) => ({
        key: text === text.toUpperCase() ? undefined : text,
        bytes: () => {
          made.push(text);
          return Buffer.from(`<${text}>`);
        },
      })),
  };
}

async function write(...parts: Parameters<typeof composition>): Promise<string> {
  made = [];
  const one = composition(...parts);
  const bytes = documents.write(FOLDER, one);
  const text = await Bun.file(createDerivedFiles(root).pathOf(FOLDER, one.hash, bytes)).text();
  expect(text.length).toBe(bytes);
  return text;
}

test("a document file writes only what it does not share with the one before", async () => {
  expect(await write("a", "HEAD", "x", "y", "z", "END")).toBe("<HEAD><x><y><z><END>");
  expect(made).toEqual(["HEAD", "x", "y", "z", "END"]);
  expect(await write("b", "HEAD", "new", "z", "y", "x", "END")).toBe("<HEAD><new><z><y><x><END>");
  expect(made).toEqual(["HEAD", "new", "END"]);
  expect(await write("c", "HEAD", "new", "END")).toBe("<HEAD><new><END>");
  expect(made).toEqual(["HEAD", "END"]);
  expect(await write("d", "HEAD", "x", "END")).toBe("<HEAD><x><END>");
  expect(made).toEqual(["HEAD", "x", "END"]);
});

test("a document file is written completely when the one before is missing", async () => {
  await write("a", "HEAD", "x");
  rmSync(join(root, "derived", FOLDER), { recursive: true });
  expect(await write("b", "HEAD", "x", "y")).toBe("<HEAD><x><y>");
  expect(made).toEqual(["HEAD", "x", "y"]);
});

test("a failed write of a document leaves the file before it to the next one", async () => {
  await write("a", "HEAD", "x");
  const failing: Composition = {
    ...composition("b", "HEAD", "x"),
    chunks: function* () {
      yield { key: "x", bytes: () => Buffer.from("x") };
      throw new Error("no more");
    },
  };
  expect(() => documents.write(FOLDER, failing)).toThrow("no more");
  expect(documents.size(FOLDER, "b".repeat(64))).toBeUndefined();
  expect(await write("c", "HEAD", "x", "y")).toBe("<HEAD><x><y>");
  expect(made).toEqual(["HEAD", "y"]);
});
