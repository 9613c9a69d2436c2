import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { pathOf, urlBelow } from "../../../src/modules/http/url.ts";

test("a URL leaves pluses and exclamation marks of a file name as they are, and escapes what would split it", () => {
  expect(urlBelow("https://h/base", "alice", "x-1!2.0+cu1-0.conda")).toBe("https://h/base/alice/x-1!2.0+cu1-0.conda");
  expect(urlBelow("https://h", "a/b", "a?b#c%2B d")).toBe("https://h/a%2Fb/a%3Fb%23c%252B%20d");
});

test("a URL decodes to its segments, whatever they contain", () => {
  const segment = fc.string({ unit: "grapheme", minLength: 1 }).filter((text) => text !== "." && text !== "..");
  fc.assert(
    fc.property(fc.array(segment, { minLength: 1 }), (segments) => {
      const { pathname, search, hash } = new URL(urlBelow("https://h", ...segments));
      expect([pathname.slice(1).split("/").map(decodeURIComponent), search, hash]).toEqual([segments, "", ""]);
    }),
  );
});

test("the path of a base URL has no slash at its end", () => {
  expect(["https://h", "https://h/", "https://h/a/b"].map(pathOf)).toEqual(["", "", "/a/b"]);
});
