import { describe, expect, test } from "bun:test";
import { createLru } from "../../src/modules/lru.ts";

describe("the LRU map", () => {
  test("evicts the least recently used of too many entries", () => {
    const map = createLru<string, number>({ maxEntries: 2 });
    map.set("a", 1);
    map.set("b", 2);
    expect(map.get("a")).toBe(1);
    map.set("c", 3);
    expect([map.get("a"), map.get("b"), map.get("c")]).toEqual([1, undefined, 3]);
    map.set("a", 4);
    map.set("d", 5);
    expect([map.get("a"), map.get("c"), map.get("d"), map.size]).toEqual([4, undefined, 5, 2]);
  });

  test("stays within its byte limit, also when values are replaced, and refuses a value that is too large", () => {
    const map = createLru<string, string>({ maxEntries: 100, maxBytes: 10, sizeOf: (text) => text.length });
    map.set("a", "1234");
    map.set("b", "1234");
    expect(map.bytes).toBe(8);
    map.set("a", "123456");
    expect([map.bytes, map.get("a"), map.get("b")]).toEqual([10, "123456", "1234"]);
    map.set("c", "1");
    expect([map.bytes, map.get("a"), map.get("b")]).toEqual([5, undefined, "1234"]);
    map.set("b", "12345678901");
    expect([map.bytes, map.get("b"), map.get("c")]).toEqual([1, undefined, "1"]);
    map.delete("c");
    map.delete("c");
    expect([map.bytes, map.size]).toEqual([0, 0]);
  });

  test("evicts entries past their age, however often they are used", () => {
    let now = 0;
    const map = createLru<string, number>({ maxEntries: 10, ttlMs: 100, now: () => now });
    map.set("a", 1);
    now = 99;
    expect(map.get("a")).toBe(1);
    now = 100;
    expect(map.get("a")).toBeUndefined();
    expect(map.size).toBe(0);
    map.set("a", 2);
    now = 199;
    expect(map.get("a")).toBe(2);
  });

  test("is empty after clear", () => {
    const map = createLru<string, number>({ maxEntries: 10, sizeOf: () => 3 });
    map.set("a", 1);
    map.clear();
    expect([map.size, map.bytes, map.get("a")]).toEqual([0, 0, undefined]);
  });
});
