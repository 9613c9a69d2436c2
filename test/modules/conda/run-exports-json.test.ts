import { expect, test } from "bun:test";
import * as fc from "fast-check";

import {
  composeRunExportsJson,
  RUN_EXPORTS_MIDDLE,
  RUN_EXPORTS_TAIL,
  runExportsEntry,
  runExportsHead,
  type RunExportsEntry,
} from "../../../src/modules/conda/run-exports-json.ts";

const ENTRIES: RunExportsEntry[] = [
  { fileName: "b-1-0.conda", runExports: {} },
  { fileName: "a-b-1-0.conda", runExports: {} },
  { fileName: "a-1-0.conda", runExports: { weak: ["a >=1"], strong: ["a"] } },
  { fileName: "a-1-0.tar.bz2", runExports: { noarch: ["python"] } },
  { fileName: "constructor-1-0.tar.bz2", runExports: {} },
];

test("has every part when there is nothing", () => {
  expect(composeRunExportsJson("linux-64", [])).toBe(
    '{"info":{"subdir":"linux-64","version":1},"packages":{},"packages.conda":{}}',
  );
});

test("has an entry for each file, also of packages that export nothing", () => {
  expect(composeRunExportsJson("noarch", ENTRIES)).toBe(
    '{"info":{"subdir":"noarch","version":1},' +
      '"packages":{"a-1-0.tar.bz2":{"run_exports":{"noarch":["python"]}},"constructor-1-0.tar.bz2":{"run_exports":{}}},' +
      '"packages.conda":{"a-1-0.conda":{"run_exports":{"strong":["a"],"weak":["a >=1"]}},' +
      '"a-b-1-0.conda":{"run_exports":{}},"b-1-0.conda":{"run_exports":{}}}}',
  );
});

test("is made of its parts, with space allowed between entries", () => {
  const entry = ({ fileName, runExports }: RunExportsEntry): string => runExportsEntry(fileName, runExports);
  const text = [
    runExportsHead("noarch"),
    ENTRIES.slice(3).map(entry).join(",     "),
    RUN_EXPORTS_MIDDLE,
    ENTRIES.slice(0, 3).map(entry).join(",     "),
    RUN_EXPORTS_TAIL,
  ].join("");
  expect(JSON.parse(text)).toEqual(JSON.parse(composeRunExportsJson("noarch", ENTRIES)));
});

test("is the same in whatever order the files come", () => {
  const expected = composeRunExportsJson("noarch", ENTRIES);
  fc.assert(
    fc.property(fc.shuffledSubarray(ENTRIES, { minLength: ENTRIES.length }), (shuffled) => {
      expect(composeRunExportsJson("noarch", shuffled)).toBe(expected);
    }),
  );
});
