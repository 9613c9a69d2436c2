// The second run of the tests, on PostgreSQL and a bucket, leaves out no file unnoticed.

import { expect, test } from "bun:test";
import { AT_NIGHT, IN_CHECK, LEFT_OUT, namesOfTests, postgresFiles } from "./engine-files.ts";

const placed = [...IN_CHECK, ...AT_NIGHT, ...Object.values(LEFT_OUT).flat()];

test("each test file runs on PostgreSQL in check or at night, or is left out for a reason that is written down", () => {
  const names = namesOfTests();
  expect(names.filter((name) => !placed.includes(name))).toEqual([]);
  expect(placed.filter((name) => !names.includes(name))).toEqual([]);
});

test("no test file has two places", () => {
  expect(placed.filter((name, at) => placed.indexOf(name) !== at)).toEqual([]);
});

test("the tests that only PostgreSQL has are found", () => {
  expect(postgresFiles().length).toBeGreaterThan(3);
});
