import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { createHashSet } from "../../../src/modules/archive/hash-set.ts";
import { createPathNodes, type PathNode } from "../../../src/modules/archive/path-nodes.ts";

const kinds = ["file", "directory", "symlink", "hardlink", "implied"] as const;

test("path nodes equal a map of the same paths, for any paths", () => {
  const path = fc.oneof(fc.string({ unit: "grapheme", maxLength: 6 }), fc.constantFrom("a", "a/b", "é", "文件"));
  const entry = fc.record({ path, kind: fc.constantFrom(...kinds), size: fc.nat(2 ** 40) });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 3000, size: "max" }), fc.array(path), (entries, others) => {
      const [nodes, map] = [createPathNodes(), new Map<string, PathNode>()];
      for (const { path: at, ...node } of entries) {
        expect(nodes.has(at)).toBe(map.has(at));
        nodes.set(at, node);
        map.set(at, node);
      }
      expect(nodes.size).toBe(map.size);
      for (const at of [...map.keys(), ...others]) expect(nodes.get(at)).toEqual(map.get(at));
      expect([...nodes.unmarked()]).toEqual([...map]);
    }),
    { numRuns: 20 },
  );
});

test("a path is marked once, and then is not among the unmarked paths", () => {
  const nodes = createPathNodes();
  nodes.set("a", { kind: "file", size: 1 });
  nodes.set("b", { kind: "symlink", size: 0 });
  expect(["a", "a", "c"].map((path) => nodes.mark(path))).toEqual(["first", "again", "unknown"]);
  expect(nodes.get("a")).toEqual({ kind: "file", size: 1 });
  expect([...nodes.unmarked()]).toEqual([["b", { kind: "symlink", size: 0 }]]);
  expect(nodes.has("c")).toBe(false);
});

test("path nodes find hundreds of thousands of paths again, and long ones among them", () => {
  const nodes = createPathNodes();
  const long = `${"é".repeat(4000)}/`;
  for (let at = 0; at < 200_000; at++) nodes.set(`lib/${at}`, { kind: "file", size: at });
  for (let at = 0; at < 100; at++) nodes.set(long + at, { kind: "directory", size: at });
  for (let at = 0; at < 200_000; at += 997) expect(nodes.get(`lib/${at}`)?.size).toBe(at);
  for (let at = 0; at < 100; at++) expect(nodes.get(long + at)?.size).toBe(at);
  expect(nodes.get("lib/200000")).toBeUndefined();
});

test("a hash set contains the added hashes and nothing else", () => {
  const set = createHashSet();
  const hashOf = (at: number): number => Number(Bun.hash(`path ${at}`));
  for (let at = 0; at < 50_000; at++) {
    expect(set.has(hashOf(at))).toBe(false);
    set.add(hashOf(at));
    set.add(hashOf(at));
  }
  for (let at = 0; at < 50_000; at++) expect(set.has(hashOf(at))).toBe(true);
  for (let at = 50_000; at < 60_000; at++) expect(set.has(hashOf(at))).toBe(false);
});
