import { expect, test } from "bun:test";
import { foldCase } from "../../src/modules/fold-case.ts";

test("no character except A-Z folds to text in ASCII", () => {
  const folding: string[] = [];
  for (let code = 0x80; code <= 0x10ffff; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const character = String.fromCodePoint(code);
    if (/^[\x00-\x7f]+$/.test(foldCase(character))) folding.push(character);
  }
  expect(folding).toEqual([]);
});

test.each([
  ["Alice.K-1_x", "alice.k-1_x"],
  ["ÄÖ", "äö"],
  ["A\u212aB\u212a", "a\u212ab\u212a"],
  ["", ""],
])("%j folds to %j", (text, folded) => expect(foldCase(text)).toBe(folded));
