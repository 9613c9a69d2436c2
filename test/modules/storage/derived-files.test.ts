import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDerivedFiles, type DerivedFiles, type DerivedPart } from "../../../src/modules/storage/derived-files.ts";

const FOLDER = "1/noarch/repodata.json";
const [FIRST, SECOND] = ["1".repeat(64), "2".repeat(64)];
const MIB = 1024 ** 2;

let root: string;
let files: DerivedFiles;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "condarium-derived-"));
  files = createDerivedFiles(root);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const contentOf = async (hash: string): Promise<Buffer> =>
  Buffer.from(await Bun.file(files.pathOf(FOLDER, hash, files.size(FOLDER, hash) ?? 0)).arrayBuffer());

test("a derived file has its bytes and extents of another file in order, also past the batch size", async () => {
  const old = Buffer.from(crypto.getRandomValues(new Uint8Array(60_000)))
    .toString("base64")
    .repeat(40);
  files.write(FOLDER, FIRST, [Buffer.from(old)]);
  const source = files.open(FOLDER, FIRST);
  if (!source) throw new Error("the file that was just written is missing");
  files.remove(FOLDER, FIRST);
  const extent = (offset: number, byteLength: number): DerivedPart => ({ source, offset, byteLength });
  const large = Buffer.alloc(1.5 * MIB, "x");
  const parts = [
    Buffer.from("head"),
    extent(0, 10),
    extent(10, 2 * MIB),
    extent(10, 5),
    Buffer.from(""),
    Buffer.from("middle"),
    large,
    extent(old.length - 7, 7),
  ];
  const bytes = files.write(FOLDER, SECOND, parts);
  source.close();
  const wanted = Buffer.concat([
    Buffer.from("head"),
    Buffer.from(old.slice(0, 10 + 2 * MIB) + old.slice(10, 15)),
    Buffer.from("middle"),
    large,
    Buffer.from(old.slice(-7)),
  ]);
  expect(bytes).toBe(wanted.length);
  expect(Buffer.compare(await contentOf(SECOND), wanted)).toBe(0);
  expect([files.size(FOLDER, FIRST), files.size(FOLDER, SECOND)]).toEqual([undefined, wanted.length]);
});

test("a derived file whose parts are unavailable leaves nothing behind, nor does one whose source shrank", () => {
  files.write(FOLDER, FIRST, [Buffer.from("0123456789")]);
  const source = files.open(FOLDER, FIRST);
  if (!source) throw new Error("the file that was just written is missing");
  const failing = function* (): Generator<DerivedPart> {
    yield Buffer.from("some");
    throw new Error("no more");
  };
  expect(() => files.write(FOLDER, SECOND, failing())).toThrow("no more");
  expect(() => files.write(FOLDER, SECOND, [{ source, offset: 5, byteLength: 6 }])).toThrow("shorter than it was");
  source.close();
  expect(readdirSync(join(root, "derived", FOLDER))).toEqual([`${FIRST}-10`]);
});

test("a missing derived file opens as missing, and invalid names are refused", () => {
  expect(files.open(FOLDER, FIRST)).toBeUndefined();
  for (const folder of ["..", "1/../2", "1", "x/noarch/repodata.json", "1/.hidden/x", "1//x"])
    expect(() => files.pathOf(folder, FIRST, 1)).toThrow("not the name of a derived file");
  for (const hash of ["", "../x", FIRST.slice(1), FIRST.toUpperCase().replace("1", "G")])
    expect(() => files.pathOf(FOLDER, hash, 1)).toThrow("not the name of a derived file");
});

test("a derived file of the wrong length counts as missing, and a new one replaces it", async () => {
  const text = Buffer.from("0123456789");
  files.write(FOLDER, FIRST, [text]);
  const path = files.pathOf(FOLDER, FIRST, 10);
  for (const damaged of ["012345678", "", "0123456789x"]) {
    writeFileSync(path, damaged);
    expect([damaged, files.size(FOLDER, FIRST), files.has(FOLDER, FIRST, 10)]).toEqual([damaged, undefined, false]);
    expect([damaged, files.open(FOLDER, FIRST), files.isTruncated(FOLDER, FIRST)]).toEqual([damaged, undefined, true]);
  }
  files.write(FOLDER, FIRST, [text]);
  expect([files.size(FOLDER, FIRST), files.isTruncated(FOLDER, FIRST)]).toEqual([10, false]);
  expect(await contentOf(FIRST)).toEqual(text);
  expect(readdirSync(join(root, "derived", FOLDER))).toEqual([`${FIRST}-10`]);
  files.remove(FOLDER, FIRST);
  expect([files.size(FOLDER, FIRST), files.isTruncated(FOLDER, FIRST)]).toEqual([undefined, false]);
});

test("a file that was touched after a time is spared by a removal of what was in use before it", () => {
  const size = files.write(FOLDER, FIRST, [Buffer.from("first")]);
  files.write(FOLDER, SECOND, [Buffer.from("second")]);
  for (const hash of [FIRST, SECOND]) utimesSync(files.pathOf(FOLDER, hash, files.size(FOLDER, hash) ?? 0), 1000, 1000);
  files.touch(FOLDER, FIRST, size, 2_000_500);
  for (const hash of [FIRST, SECOND]) files.remove(FOLDER, hash, { unlessAfter: 2_000_000 });
  expect([files.size(FOLDER, FIRST), files.size(FOLDER, SECOND)]).toEqual([size, undefined]);
  files.remove(FOLDER, FIRST, { unlessAfter: 2_000_500 });
  expect(files.size(FOLDER, FIRST)).toBeUndefined();
  // A file that is gone meanwhile is no error.
  files.touch(FOLDER, FIRST, size, 3_000_000);
});
