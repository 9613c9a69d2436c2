import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";

import {
  composeRepodataV3,
  REPODATA_V3_MIDDLE,
  REPODATA_V3_TAIL,
  repodataV3Entry,
  repodataV3Head,
  repodataV3Start,
} from "../../../src/modules/conda/repodata-v3.ts";
import { composeRepodata, REPODATA_MIDDLE, repodataEntry } from "../../../src/modules/conda/repodata.ts";
import { entryOf } from "./entries.ts";

const LEGACY = [
  entryOf({ name: "a" }),
  entryOf({ name: "a" }, { format: "tar.bz2" }),
  entryOf({ name: "constructor", depends: ["a >=1"] }),
];
const LATER = [
  entryOf({ name: "a", version: "3", schema_version: 3, depends: ["b 1"] }, { indexedTimestamp: 5 }),
  entryOf({ name: "a", version: "2", extra_depends: { x: ["b"] } }, { indexedTimestamp: 3 }),
  entryOf({ name: "123", flags: ["cuda"] }, { indexedTimestamp: 4, format: "tar.bz2" }),
];

describe("the document", () => {
  test("is the one of every client as long as it needs no more", () => {
    expect(composeRepodataV3("noarch", LEGACY, ["b-1-0.conda"])).toBe(
      composeRepodata("noarch", LEGACY, ["b-1-0.conda"]),
    );
    expect(composeRepodataV3("noarch", [], [])).toBe(composeRepodata("noarch", [], []));
  });

  test("has the later records apart, named without extension and counted", () => {
    const document = JSON.parse(composeRepodataV3("linux-64", [...LATER, ...LEGACY], ["b-1-0.conda"]));
    const { info, v3, ...legacy } = document;
    const { info: plainInfo, ...plain } = JSON.parse(composeRepodata("linux-64", LEGACY, ["b-1-0.conda"]));
    expect(legacy).toEqual(plain);
    expect(info).toEqual({ ...plainInfo, repodata_revisions: { v3: { n_packages: 3, newest: 5, oldest: 3 } } });
    expect(Object.keys(v3)).toEqual(["conda", "tar.bz2"]);
    expect(Object.keys(v3.conda)).toEqual(["a-2-0", "a-3-0"]);
    expect(Object.keys(v3["tar.bz2"])).toEqual(["123-1.0-0"]);
    expect(v3.conda["a-3-0"]).toMatchObject({ depends: ['b[version="==1"]'], indexed_timestamp: 5, size: 7 });
  });

  test("is made of its parts, with space allowed between entries", () => {
    const [first, second, third] = LATER.map(repodataV3Entry);
    const text = [
      repodataV3Head("noarch", { packages: 3, oldest: 3, newest: 5 }),
      LEGACY.slice(1, 2).map(repodataEntry).join(),
      REPODATA_MIDDLE,
      [LEGACY[0], LEGACY[2]].flatMap((entry) => (entry === undefined ? [] : repodataEntry(entry))).join(", "),
      repodataV3Start(["b-1-0.conda"]),
      `${second},   ${first}`,
      REPODATA_V3_MIDDLE,
      third,
      REPODATA_V3_TAIL,
    ].join("");
    expect(JSON.parse(text)).toEqual(JSON.parse(composeRepodataV3("noarch", [...LEGACY, ...LATER], ["b-1-0.conda"])));
  });

  test("is the same in whatever order the files come", () => {
    const entries = [...LEGACY, ...LATER];
    const expected = composeRepodataV3("noarch", entries, []);
    fc.assert(
      fc.property(fc.shuffledSubarray(entries, { minLength: entries.length }), (shuffled) => {
        expect(composeRepodataV3("noarch", shuffled, [])).toBe(expected);
      }),
    );
  });
});
