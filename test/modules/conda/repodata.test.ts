import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";

import {
  composeRepodata,
  repodataEntry,
  repodataHead,
  repodataTail,
  REPODATA_MIDDLE,
  type RepodataEntry,
} from "../../../src/modules/conda/repodata.ts";
import { parseStrictJson } from "../../../src/modules/conda/strict-json.ts";

function entry(fileName: string, size = 1): RepodataEntry {
  const record = `{"name":"${fileName.split("-")[0]}"}`;
  return { fileName, record, md5: "a".repeat(32), sha256: "b".repeat(64), size, indexedTimestamp: 5 };
}

const FILE_NAMES = [
  "123-1-0.conda",
  "__proto__-1-0.conda",
  "a-1-0.conda",
  "a-1-0.tar.bz2",
  "a-10-0.conda",
  "a-2-0.conda",
  "a-b-1-0.conda",
  "a.b-1-0.conda",
  "constructor-1-0.conda",
  "constructor-1-0.tar.bz2",
  "toString-1-0.conda",
];

describe("repodata.json", () => {
  test("of an empty channel has every part", () => {
    expect(composeRepodata("linux-64", [], [])).toBe(
      '{"info":{"subdir":"linux-64"},"packages":{},"packages.conda":{},"removed":[],"repodata_version":1}',
    );
  });

  test("lists each file under its format, in order, with its columns", () => {
    const files = [entry("b-1-0.conda", 7), entry("a-1-0.conda"), entry("a-1-0.tar.bz2")];
    const joined = `"indexed_timestamp":5,"md5":"${"a".repeat(32)}","sha256":"${"b".repeat(64)}"`;
    expect(composeRepodata("noarch", files, ["z-1-0.conda", "c-1-0.conda"])).toBe(
      '{"info":{"subdir":"noarch"},' +
        `"packages":{"a-1-0.tar.bz2":{"name":"a",${joined},"size":1}},` +
        `"packages.conda":{"a-1-0.conda":{"name":"a",${joined},"size":1},"b-1-0.conda":{"name":"b",${joined},"size":7}},` +
        '"removed":["c-1-0.conda","z-1-0.conda"],"repodata_version":1}',
    );
  });

  test("is the same for any order of the files", () => {
    const shuffled = fc.shuffledSubarray(FILE_NAMES, { minLength: FILE_NAMES.length });
    const expected = composeRepodata(
      "noarch",
      FILE_NAMES.map((fileName) => entry(fileName)),
      FILE_NAMES,
    );
    fc.assert(
      fc.property(shuffled, shuffled, (files, removed) => {
        expect(
          composeRepodata(
            "noarch",
            files.map((fileName) => entry(fileName)),
            removed,
          ),
        ).toBe(expected);
      }),
    );
  });

  test("keeps names with a meaning in JavaScript", () => {
    const text = composeRepodata(
      "noarch",
      FILE_NAMES.map((fileName) => entry(fileName)),
      [],
    );
    const document = Object(parseStrictJson(new TextEncoder().encode(text), { maxDepth: 4 }));
    const bz2 = FILE_NAMES.filter((fileName) => fileName.endsWith(".tar.bz2"));
    const conda = FILE_NAMES.filter((fileName) => fileName.endsWith(".conda"));
    expect(Object.keys(document.packages)).toEqual(bz2);
    expect(Object.keys(document["packages.conda"])).toEqual(conda);
  });

  test("is joined from its parts, with space allowed between entries", () => {
    const [a, b] = [entry("a-1-0.conda"), entry("b-1-0.conda")];
    const separator = `,${" ".repeat(17)}`;
    const text = `${repodataHead("noarch")}${REPODATA_MIDDLE}${repodataEntry(a)}${separator}${repodataEntry(b)}${repodataTail([])}`;
    expect(JSON.parse(text)).toEqual(JSON.parse(composeRepodata("noarch", [b, a], [])));
  });
});
