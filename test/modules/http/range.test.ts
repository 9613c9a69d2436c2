import { describe, expect, test } from "bun:test";
import { ifRangeHolds, parseRange, rangeByBun } from "../../../src/modules/http/range.ts";
import { named } from "../../support/case-name.ts";

const range = (start: number, end: number) => ({ kind: "range", start, end }) as const;

describe("of a file of 1000 bytes, the range", () => {
  test.each([
    ["bytes=0-0", range(0, 0)],
    ["bytes=0-", range(0, 999)],
    ["bytes=5-", range(5, 999)],
    ["bytes=999-", range(999, 999)],
    ["bytes=100-199", range(100, 199)],
    ["bytes=100-5000", range(100, 999)],
    ["bytes=0-99999999999999999999999999", range(0, 999)],
    ["bytes=-5", range(995, 999)],
    ["bytes=-1000", range(0, 999)],
    ["bytes=-10240", range(0, 999)],
    ["bytes=-99999999999999999999999999", range(0, 999)],
    ["BYTES=1-2", range(1, 2)],
    [" bytes=1-2 ", range(1, 2)],
  ])("%j selects that part", (header, expected) => expect(parseRange(header, 1000)).toEqual(expected));

  test.each(["bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=-000", "bytes=18446744073709551616-"])(
    "%j cannot be satisfied",
    (header) => expect(parseRange(header, 1000)).toEqual({ kind: "unsatisfiable" }),
  );

  test.each(
    named([
      null,
      "",
      "bytes",
      "bytes=",
      "bytes=-",
      "bytes=5-4",
      "bytes=0-1,5-6",
      "bytes=0-1,",
      "bytes=a-b",
      "bytes=1-2x",
      "bytes=--5",
      "bytes=1.5-2",
      "bytes=0x1-2",
      "bytes = 1-2",
      "bytes=1 - 2",
      "items=0-1",
      "bytes=0-1\nbytes=2-3",
      `bytes=${"0-1,".repeat(10_000)}`,
    ]),
  )("%s selects the complete file", (_, header) => expect(parseRange(header, 1000)).toEqual({ kind: "none" }));
});

test("an empty file satisfies no range", () => {
  expect(parseRange("bytes=0-", 0)).toEqual({ kind: "unsatisfiable" });
  expect(parseRange("bytes=0-0", 0)).toEqual({ kind: "unsatisfiable" });
  expect(parseRange("bytes=-5", 0)).toEqual({ kind: "none" });
});

test("a selected range is always within its file", () => {
  for (const size of [1, 2, 7]) {
    for (let first = 0; first < 10; first++) {
      for (const header of [`bytes=${first}-`, `bytes=-${first}`, `bytes=${first}-${first + 3}`]) {
        const part = parseRange(header, size);
        if (part.kind !== "range") continue;
        expect(part.start).toBeGreaterThanOrEqual(0);
        expect(part.end).toBeGreaterThanOrEqual(part.start);
        expect(part.end).toBeLessThan(size);
      }
    }
  }
});

describe("If-Range", () => {
  const date = "Tue, 15 Nov 1994 12:45:26 GMT";
  const time = Date.UTC(1994, 10, 15, 12, 45, 26);

  test("allows the range without a header, for the exact tag and for the exact date", () => {
    expect(ifRangeHolds(null, '"abc"')).toBe(true);
    expect(ifRangeHolds('"abc"', '"abc"')).toBe(true);
    expect(ifRangeHolds(date, '"abc"', time + 500)).toBe(true);
  });

  test.each([
    '"abd"',
    'W/"abc"',
    "",
    "abc",
    "*",
    '"abc", "abd"',
    "Tue, 15 Nov 1994 12:45:27 GMT",
    "Tue, 15 Nov 1994 12:45:25 GMT",
  ])("gives the complete file for %j", (header) => expect(ifRangeHolds(header, '"abc"', time)).toBe(false));

  test("with a date never matches a file without a date", () => expect(ifRangeHolds(date, '"abc"')).toBe(false));
});

describe("a range that Bun could apply by itself", () => {
  const tag = '"abc"';
  test.each([
    [null, null, "never"],
    ["bytes=0-1,4-5", null, "never"],
    ["items=0-1", null, "never"],
    ["bytes=9-5", null, "never"],
    ["bytes=0-9", null, "always"],
    ["bytes = 0\t- 9", null, "always"],
    ["bytes=0-9, bytes=5-6", null, "always"],
    ["bytes=0-9", "", "always"],
    ["bytes=0-9", tag, "always"],
    ["bytes=0-9", `${tag}, "other"`, "always"],
    ["bytes=0-9", '"other"', "never"],
    ["bytes=0-9", `W/${tag}`, "never"],
    ["bytes=0-9", "Tue, 15 Nov 1994 12:45:26 GMT", "by-last-modified"],
    ["bytes=0-1,4-5", "Tue, 15 Nov 1994 12:45:26 GMT", "never"],
  ] as const)("is recognized in %j with If-Range %j: %s", (asked, ifRange, expected) => {
    expect(rangeByBun(asked, ifRange, tag)).toBe(expected);
  });
});
