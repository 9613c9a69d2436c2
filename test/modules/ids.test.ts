import { describe, expect, test } from "bun:test";
import { createRequestId, createToken, looksLikeToken, randomHex } from "../../src/modules/ids.ts";

describe("random names", () => {
  test("have the requested length and never repeat", () => {
    expect(randomHex(16)).toMatch(/^[0-9a-f]{32}$/);
    const ids = Array.from({ length: 1000 }, () => [randomHex(16), createRequestId()]).flat();
    expect(new Set(ids).size).toBe(2000);
  });
});

describe("tokens", () => {
  test("consist of letters and digits after the prefix, and pass their own check", () => {
    const tokens = Array.from({ length: 2000 }, createToken);
    for (const token of tokens) {
      expect(token).toMatch(/^cdr-[0-9A-Za-z]{38}$/);
      expect(looksLikeToken(token)).toBe(true);
    }
    expect(new Set(tokens.map((token) => token.slice(4, 36))).size).toBe(2000);
  });

  test("use every letter and digit about equally often", () => {
    const counts = new Map<string, number>();
    const letters = Array.from({ length: 5000 }, () => createToken().slice(4, 36)).join("");
    for (const letter of letters) counts.set(letter, (counts.get(letter) ?? 0) + 1);
    expect(counts.size).toBe(62);
    const expected = letters.length / 62;
    // With 62 cells the sum stays below 130 in all but one of a million runs; taking bytes modulo 62 gives about 1700.
    const distance = [...counts.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    expect(distance).toBeLessThan(130);
  });

  test("have a checksum that other programs can compute: CRC-32 in base 62", () => {
    // Computed with Python's zlib.
    expect(looksLikeToken(`cdr-${"0".repeat(32)}0zoDLu`)).toBe(true);
    expect(looksLikeToken(`cdr-${"0".repeat(32)}0zoDLv`)).toBe(false);
  });

  test("fail the check with any letter changed, or in another shape", () => {
    const token = createToken();
    for (let at = 4; at < token.length; at++) {
      const other = token[at] === "a" ? "b" : "a";
      expect(looksLikeToken(token.slice(0, at) + other + token.slice(at + 1))).toBe(false);
    }
    for (const text of ["", "cdr-", token.slice(1), token.slice(0, -1), `${token}a`, `${token}\n`, ` ${token}`]) {
      expect(looksLikeToken(text)).toBe(false);
    }
    expect(looksLikeToken(token.toUpperCase())).toBe(false);
    expect(looksLikeToken("a".repeat(1_000_000))).toBe(false);
  });
});
