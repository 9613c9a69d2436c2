import { describe, expect, test } from "bun:test";
import { httpDate, matchesEtag, strongEtag } from "../../../src/modules/http/etag.ts";

const ETAG = strongEtag("abc");
const DATE = "Tue, 15 Nov 1994 12:45:26 GMT";
const TIME = Date.UTC(1994, 10, 15, 12, 45, 26);

describe("an entity tag", () => {
  test("is strong and built from a hash", () => {
    expect(ETAG).toBe('"abc"');
    for (const hash of ["", 'a"b', "a b", "a\r\nb", "ä"]) expect(() => strongEtag(hash)).toThrow();
  });

  test.each(["*", " * ", '"abc"', 'W/"abc"', '"x", "abc"', '"x","abc","y"', 'W/"x" , W/"abc"', '"a,b", "abc"'])(
    "is matched by %s",
    (header) => expect(matchesEtag(header, ETAG)).toBe(true),
  );

  test.each([null, "", "abc", '"ab"', '"abcd"', '"ABC"', '"x, abc"', '"x", "y"', '"', '"abc', "**", '"*"', "W/abc"])(
    "is not matched by %p",
    (header) => expect(matchesEtag(header, ETAG)).toBe(false),
  );

  test("is found at once in a long list", () => {
    const header = '"x",'.repeat(200_000);
    expect(matchesEtag(header, ETAG)).toBe(false);
    expect(matchesEtag(header + ETAG, ETAG)).toBe(true);
  });
});

describe("an HTTP date", () => {
  test("is parsed in its one form", () => expect(httpDate(DATE)).toBe(TIME));

  test.each([
    null,
    "",
    "1994-11-15",
    "784903526000",
    "Tuesday, 15-Nov-94 12:45:26 GMT",
    `${DATE}x`,
    "Tue, 99 Nov 1994 12:45:26 GMT",
    "Tue, 15 Nov 1994 12:45:26 CET",
  ])("is not parsed from %p", (header) => expect(httpDate(header)).toBeUndefined());
});
