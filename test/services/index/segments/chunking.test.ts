import { describe, expect, test } from "bun:test";
import {
  createChunker,
  BOUNDARY_RULE,
  FIRST,
  keyAfterName,
  keyBeforeName,
  keyOf,
  parseKey,
  type Entry,
  type Segment,
} from "../../../../src/services/index/segments/chunking.ts";
import { cutAll } from "../../../support/cut-all.ts";

function cut(entries: readonly Entry[]): Segment[] {
  return [...cutAll(FIRST, entries)];
}

const isFull = ({ text }: Segment): boolean => text.length >= BOUNDARY_RULE.enough;

/** The same by a chunker that is recreated at each boundary. */
function cutByTurns(entries: readonly Entry[]): Segment[] {
  const segments: Segment[] = [];
  let chunker = createChunker(FIRST);
  for (const next of entries) {
    const segment = chunker.add(next);
    if (!segment) continue;
    segments.push(segment);
    chunker = createChunker(chunker.start);
    chunker.add(next);
  }
  return [...segments, chunker.end()].filter((segment) => segment !== undefined);
}

function entry(packageName: string, version: string, length = 20): Entry {
  const fileName = `${packageName}-${version}-0.conda`;
  return { packageName, fileName, text: `"${fileName}":${"x".repeat(length)}` };
}

describe("segments", () => {
  const entries = Array.from({ length: 1600 }, (_, at) => entry(`n${String(at >> 2).padStart(3, "0")}`, `${at & 3}`));

  test("contain every entry once, in order, with commas between entries only", () => {
    const texts = cut(entries).flatMap(({ text }) => text.split(","));
    expect(texts).toEqual(entries.map(({ text }) => text));
  });

  test("end after the names that the rule picks, whatever names are around them", () => {
    const starts = cut(entries)
      .map(({ start }) => start)
      .filter((start) => start !== "");
    expect(starts.length).toBeGreaterThan(2);
    const fewer = entries.filter((_, at) => at % 3 !== 0);
    const startsOfFewer = new Set(cut(fewer).map(({ start }) => start));
    const ofNames = starts.filter((start) => start.endsWith("~"));
    expect(ofNames.filter((start) => !startsOfFewer.has(start))).toEqual([]);
  });

  test("end at the size limit where no other boundary occurs, and realign afterwards", () => {
    const large = Array.from({ length: 40 }, (_, at) => entry("one-name", `1.${at}`, 10_000));
    const segments = cut([...large, ...entries]);
    expect(segments.some(isFull)).toBe(true);
    for (const { text } of segments) expect(text.length).toBeLessThan(BOUNDARY_RULE.bytes + 10_100);
    const shifted = cut([...large.slice(1), ...entries]);
    expect(shifted.at(-1)).toEqual(segments.at(-1) ?? { start: "", text: "" });
  });

  test("are the same when the work resumes at any boundary", () => {
    const large = Array.from({ length: 60 }, (_, at) => entry("one-name", `1.${at}`, 10_000));
    const all = [...large, ...entries];
    expect(cut(all).some(isFull)).toBe(true);
    expect(cutByTurns(all)).toEqual(cut(all));
  });

  test("are sorted like documents: by package name, then by file name", () => {
    const names = ["a", "a-b", "a.b", "a0", "aa", "a_b"];
    const keys = names.map((name) => keyOf(entry(name, "1")));
    expect(keys.toSorted()).toEqual(names.toSorted().map((name) => keyOf(entry(name, "1"))));
    for (const name of names) {
      expect(keyBeforeName(name) < keyOf(entry(name, "1"))).toBe(true);
      expect(keyAfterName(name) > keyOf(entry(name, "9"))).toBe(true);
    }
    expect(parseKey(keyOf(entry("a-b", "1")))).toEqual({ packageName: "a-b", fileName: "a-b-1-0.conda" });
    expect(parseKey("")).toBeUndefined();
  });
});
