import { describe, expect, test } from "bun:test";

import { metadataText, readMetadata, storedProblem, type StoredMetadata } from "../../../src/modules/conda/stored.ts";
import { STORED_BYTES } from "../../../src/modules/stored-budget.ts";

const EMPTY: StoredMetadata = { about: {}, runExports: {}, flags: [], findings: [] };
const bytesOf = (record: string, metadata: StoredMetadata): number =>
  Buffer.byteLength(record + JSON.stringify(metadata));

test("stored metadata of exactly the size limit is accepted, and one byte more is refused", () => {
  const rest = STORED_BYTES - bytesOf("{}", { ...EMPTY, about: { summary: "" } });
  const filled = (bytes: number): StoredMetadata => ({ ...EMPTY, about: { summary: "x".repeat(bytes) } });
  expect(bytesOf("{}", filled(rest))).toBe(STORED_BYTES);
  expect(storedProblem("{}", filled(rest))).toBeUndefined();
  expect(storedProblem("{}", filled(rest + 1))).toMatchObject({ level: "refused", path: "info/about.json" });
});

test("the size limit of stored metadata counts bytes, not characters", () => {
  const metadata = { ...EMPTY, about: { summary: "é".repeat(STORED_BYTES / 2) } };
  expect(storedProblem("{}", metadata)).toBeDefined();
});

test.each([
  ["info/index.json", `{"x":"${"r".repeat(150_000)}"}`, "e".repeat(100_000), "a".repeat(100_000)],
  ["info/run_exports.json", `{"x":"${"r".repeat(100_000)}"}`, "e".repeat(150_000), "a".repeat(100_000)],
  ["info/about.json", `{"x":"${"r".repeat(100_000)}"}`, "e".repeat(100_000), "a".repeat(150_000)],
])("the size refusal names %s as the largest member, its size and the limit", (path, record, spec, summary) => {
  const problem = storedProblem(record, { ...EMPTY, runExports: { weak: [spec] }, about: { summary } });
  expect(problem).toMatchObject({ path });
  expect(problem?.message).toContain(`from ${path};`);
  expect(problem?.message).toContain("1500");
  expect(problem?.message).toContain(String(STORED_BYTES));
});

test("the size limit of stored metadata counts findings too", () => {
  const finding = { rule: "r", level: "warning", path: "p", message: "m".repeat(STORED_BYTES), fix: "f" } as const;
  expect(storedProblem("{}", { ...EMPTY, findings: [finding] })).toBeDefined();
});

describe("stored metadata", () => {
  const metadata = { about: { summary: "text" }, runExports: { weak: ["a"] }, flags: ["activate"] };

  test("is parsed as it was written, and has its version", () => {
    const text = metadataText({ ...metadata, findings: [] }, 7);
    expect(readMetadata(text)).toEqual(metadata);
    expect(JSON.parse(text)).toEqual({ ...metadata, findings: [], weight: 7, version: 2 });
  });

  test("of rows without a version is of the first version", () => {
    expect(readMetadata(JSON.stringify({ ...metadata, findings: [] }))).toEqual(metadata);
    expect(readMetadata(JSON.stringify({ ...metadata, findings: [], version: 1 }))).toEqual(metadata);
    expect(readMetadata('{"runExports":{}}')).toEqual({ about: {}, runExports: {}, flags: [] });
  });

  test.each([
    ["null", "not an object"],
    ["[]", "not an object"],
    ["{}", "no run exports"],
    [JSON.stringify({ ...metadata, runExports: ["a"] }), "no run exports"],
    [JSON.stringify({ ...metadata, about: "text" }), "an invalid about member"],
    [JSON.stringify({ ...metadata, flags: {} }), "an invalid flags member"],
    [JSON.stringify({ ...metadata, version: 3 }), "a version that this condarium does not support"],
    [JSON.stringify({ ...metadata, version: 0 }), "a version that this condarium does not support"],
    [JSON.stringify({ ...metadata, version: "2" }), "a version that this condarium does not support"],
    [JSON.stringify({ ...metadata, version: null }), "a version that this condarium does not support"],
  ])("that no publish can have written is refused: %s", (text, why) => expect(() => readMetadata(text)).toThrow(why));
});
