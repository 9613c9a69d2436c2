import { expect, test } from "bun:test";

import {
  RUN_EXPORTS_MIDDLE,
  RUN_EXPORTS_TAIL,
  runExportsEntry,
  runExportsHead,
} from "../../../src/modules/conda/run-exports-json.ts";

test("run_exports.json of an empty channel has every part", () => {
  expect(runExportsHead("linux-64") + RUN_EXPORTS_MIDDLE + RUN_EXPORTS_TAIL).toBe(
    '{"info":{"subdir":"linux-64","version":1},"packages":{},"packages.conda":{}}',
  );
});

test("an entry of run_exports.json has its keys in order, also for a package that exports nothing", () => {
  expect(runExportsEntry("a-1-0.conda", { weak: ["a >=1"], strong: ["a"] })).toBe(
    '"a-1-0.conda":{"run_exports":{"strong":["a"],"weak":["a >=1"]}}',
  );
  expect(runExportsEntry("constructor-1-0.tar.bz2", {})).toBe('"constructor-1-0.tar.bz2":{"run_exports":{}}');
});
