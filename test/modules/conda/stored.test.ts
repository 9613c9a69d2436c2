import { describe, expect, test } from "bun:test";

import { metadataText, readMetadata, storedProblem, type StoredMetadata } from "../../../src/modules/conda/stored.ts";
import { STORED_BYTES } from "../../../src/modules/stored-budget.ts";

const EMPTY: StoredMetadata = { about: {}, runExports: {}, flags: [], findings: [] };
const bytesOf = (record: string, metadata: StoredMetadata): number =>
  Buffer.byteLength(record + JSON.stringify(metadata));

test("takes what has just the size of the limit, and not a byte more", () => {
  const rest = STORED_BYTES - bytesOf("{}", { ...EMPTY, about: { summary: "" } });
  const filled = (bytes: number): StoredMetadata => ({ ...EMPTY, about: { summary: "x".repeat(bytes) } });
  expect(bytesOf("{}", filled(rest))).toBe(STORED_BYTES);
  expect(storedProblem("{}", filled(rest))).toBeUndefined();
  expect(storedProblem("{}", filled(rest + 1))).toMatchObject({ level: "refused", path: "info/about.json" });
});

test("counts bytes, not characters", () => {
  const metadata = { ...EMPTY, about: { summary: "é".repeat(STORED_BYTES / 2) } };
  expect(storedProblem("{}", metadata)).toBeDefined();
});

test.each([
  ["info/index.json", `{"x":"${"r".repeat(150_000)}"}`, "e".repeat(100_000), "a".repeat(100_000)],
  ["info/run_exports.json", `{"x":"${"r".repeat(100_000)}"}`, "e".repeat(150_000), "a".repeat(100_000)],
  ["info/about.json", `{"x":"${"r".repeat(100_000)}"}`, "e".repeat(100_000), "a".repeat(150_000)],
])("names %s when it is the largest, its size and the limit", (path, record, spec, summary) => {
  const problem = storedProblem(record, { ...EMPTY, runExports: { weak: [spec] }, about: { summary } });
  expect(problem).toMatchObject({ path });
  expect(problem?.message).toContain(`of ${path} `);
  expect(problem?.message).toContain("1500");
  expect(problem?.message).toContain(String(STORED_BYTES));
});

test("counts findings too", () => {
  const finding = { rule: "r", level: "warning", path: "p", message: "m".repeat(STORED_BYTES), fix: "f" } as const;
  expect(storedProblem("{}", { ...EMPTY, findings: [finding] })).toBeDefined();
});

describe("stored metadata", () => {
  const metadata = { about: { summary: "text" }, runExports: { weak: ["a"] }, flags: ["activate"] };

  test("is read as it was written, and says its version", () => {
    const text = metadataText({ ...metadata, findings: [] }, 7);
    expect(readMetadata(text)).toEqual(metadata);
    expect(JSON.parse(text)).toEqual({ ...metadata, findings: [], weight: 7, version: 1 });
  });

  test("of rows that have no version yet is of the first", () => {
    expect(readMetadata(JSON.stringify({ ...metadata, findings: [] }))).toEqual(metadata);
    expect(readMetadata('{"runExports":{}}')).toEqual({ about: {}, runExports: {}, flags: [] });
  });

  test.each([
    ["null", "no object"],
    ["[]", "no object"],
    ["{}", "no run exports"],
    [JSON.stringify({ ...metadata, runExports: ["a"] }), "no run exports"],
    [JSON.stringify({ ...metadata, about: "text" }), "another form"],
    [JSON.stringify({ ...metadata, flags: {} }), "another form"],
    [JSON.stringify({ ...metadata, version: 2 }), "a version that this condarium does not know"],
    [JSON.stringify({ ...metadata, version: null }), "a version that this condarium does not know"],
  ])("that no publish has written is refused: %s", (text, why) => expect(() => readMetadata(text)).toThrow(why));
});
