import { expect, test } from "bun:test";

import {
  REPODATA_V3_MIDDLE,
  REPODATA_V3_TAIL,
  repodataV3Entry,
  repodataV3Start,
} from "../../../src/modules/conda/repodata-v3.ts";
import { composeRepodata, REPODATA_MIDDLE, repodataEntry, repodataHead } from "../../../src/modules/conda/repodata.ts";
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

test("revision 3 records are in their own section, named without extension, beside the document of every client", () => {
  const [first, second, third] = LATER.map(repodataV3Entry);
  const text = [
    repodataHead("linux-64"),
    LEGACY.slice(1, 2).map(repodataEntry).join(),
    REPODATA_MIDDLE,
    [LEGACY[0], LEGACY[2]].flatMap((entry) => (entry === undefined ? [] : repodataEntry(entry))).join(", "),
    repodataV3Start(["b-1-0.conda"]),
    `${second},   ${first}`,
    REPODATA_V3_MIDDLE,
    third,
    REPODATA_V3_TAIL,
  ].join("");
  const { v3, ...legacy } = JSON.parse(text);
  expect(legacy).toEqual(JSON.parse(composeRepodata("linux-64", LEGACY, ["b-1-0.conda"])));
  expect(Object.keys(v3)).toEqual(["conda", "tar.bz2"]);
  expect(Object.keys(v3.conda)).toEqual(["a-2-0", "a-3-0"]);
  expect(Object.keys(v3["tar.bz2"])).toEqual(["123-1.0-0"]);
  expect(v3.conda["a-3-0"]).toMatchObject({ depends: ['b[version="==1"]'], indexed_timestamp: 5, size: 7 });
});
