import { describe, expect, test } from "bun:test";
import { decode } from "@msgpack/msgpack";
import * as fc from "fast-check";

import {
  composeShard,
  composeShardIndex,
  compressShard,
  compressShardIndex,
  shardIndexEntry,
  type ShardEntry,
} from "../../../src/modules/conda/shards.ts";
import { entryOf, MD5, SHA256 } from "./entries.ts";

type Records = Readonly<Record<string, Readonly<Record<string, unknown>>>>;
type Decoded = {
  readonly packages: Records;
  readonly "packages.conda": Records;
  readonly removed: readonly string[];
  readonly v3?: Readonly<Record<string, Records>>;
};

function shardOf(entries: ShardEntry[], removed: string[] = []): Decoded {
  return Object(decode(composeShard({ entries, removed })));
}

describe("a shard", () => {
  test("of no files has every part, and no revision 3", () => {
    expect(shardOf([])).toEqual({ packages: {}, "packages.conda": {}, removed: [] });
  });

  test("lists each file under its format, with hashes as bytes and always with run exports", () => {
    const runExports = { weak: ["a >=1"], strong: [] };
    const entries = [
      entryOf({ name: "a", timestamp: 1_600_000_000_001, build_number: 3 }, { format: "tar.bz2", runExports }),
      entryOf({ name: "a", license: null, noarch: "python", depends: ["b >=1"] }, { size: 2 ** 40 }),
    ];
    const columns = { indexed_timestamp: 1_700_000_000_000, md5: hexBytes(MD5), sha256: hexBytes(SHA256) };
    const common = { build: "0", name: "a", subdir: "noarch", version: "1.0" };
    expect(shardOf(entries, ["a-3-0.conda", "a-2-0.conda"])).toEqual({
      packages: {
        "a-1.0-0.tar.bz2": {
          ...common,
          ...columns,
          build_number: 3,
          depends: [],
          run_exports: runExports,
          size: 7,
          timestamp: 1_600_000_000_001,
        },
      },
      "packages.conda": {
        "a-1.0-0.conda": {
          ...common,
          ...columns,
          build_number: 0,
          depends: ["b >=1"],
          license: null,
          noarch: "python",
          run_exports: {},
          size: 2 ** 40,
        },
      },
      removed: ["a-2-0.conda", "a-3-0.conda"],
    });
  });

  test("has whole numbers as integers and others as floats", () => {
    const bytes = composeShard({ entries: [entryOf({ name: "a", timestamp: 2 ** 32, x: [1.5, -3] })], removed: [] });
    const text = Buffer.from(bytes).toString("latin1");
    expect(text).toContain("\xa9timestamp\xcf\x00\x00\x00\x01\x00\x00\x00\x00");
    expect(text).toContain("\xb1indexed_timestamp\xcf\x00\x00\x01\x8b\xcf\xe5\x68\x00");
    expect(text).toContain("\xa4size\x07");
    expect(text).toContain("\xa1x\x92\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xfd");
    expect(text.split("\xcb")).toHaveLength(2);
    expect(text).toContain("\xa3md5\xc4\x10");
    expect(text).toContain("\xa6sha256\xc4\x20");
  });

  test("sorts its keys by their bytes", () => {
    const keys: string[] = [];
    decode(composeShard({ entries: [entryOf({ name: "a", 9: 1, 10: 1, Z: { b: 1, a: 1 } })], removed: [] }), {
      mapKeyConverter: (key) => {
        keys.push(String(key));
        return String(key);
      },
    });
    const record = ["10", "9", "Z", "a", "b", "build", "build_number", "depends", "indexed_timestamp", "md5", "name"];
    expect(keys).toEqual([
      "packages",
      "packages.conda",
      "a-1.0-0.conda",
      ...record,
      "run_exports",
      "sha256",
      "size",
      "subdir",
      "version",
      "removed",
    ]);
  });

  test("keeps revision 3 records out of the maps of other clients", () => {
    const shard = shardOf([
      entryOf({ name: "a", version: "1" }),
      entryOf({ name: "a", version: "2", schema_version: 3, depends: ["b >=1", "c"] }),
      entryOf({ name: "a", version: "3", depends: ["b >=1[when='__unix']"] }, { format: "tar.bz2" }),
    ]);
    expect(Object.keys(shard.packages)).toEqual([]);
    expect(Object.keys(shard["packages.conda"])).toEqual(["a-1-0.conda"]);
    expect(shard.v3).toMatchObject({
      conda: { "a-2-0": { depends: ['b[version=">=1"]', "c"], md5: hexBytes(MD5), run_exports: {}, size: 7 } },
      "tar.bz2": { "a-3-0": { depends: ['b[version=">=1",when="__unix"]'], version: "3" } },
    });
    expect(Object.keys(shard.v3 ?? {})).toEqual(["conda", "tar.bz2"]);
  });

  test("is the same for any order of the files, for any names", () => {
    const names = ["constructor", "123", "toString", "a-b", "a.b"];
    const entries = names.flatMap((name) => [
      entryOf({ name }),
      entryOf({ name, version: "2", schema_version: 3 }),
      entryOf({ name }, { format: "tar.bz2" }),
    ]);
    const removed = entries.map(({ fileName }) => fileName);
    const expected = Buffer.from(composeShard({ entries, removed })).toString("hex");
    const shuffled = fc.shuffledSubarray(entries, { minLength: entries.length });
    expect(Object.keys(shardOf(entries)["packages.conda"]).sort()).toEqual(
      names.map((name) => `${name}-1.0-0.conda`).sort(),
    );
    fc.assert(
      fc.property(shuffled, shuffled, (some, others) => {
        const shard = composeShard({ entries: some, removed: others.map(({ fileName }) => fileName) });
        expect(Buffer.from(shard).toString("hex")).toBe(expected);
      }),
    );
  });

  test("keeps keys with a meaning in JavaScript", () => {
    const entry = { ...entryOf({ name: "a" }), record: '{"__proto__":{"b":1},"constructor":2,"name":"a"}' };
    const text = Buffer.from(composeShard({ entries: [entry], removed: [] })).toString("latin1");
    expect(text).toContain("\xa9__proto__\x81\xa1b\x01\xabconstructor\x02");
  });
});

describe("the shard index", () => {
  const NAMES = ["123", "__glibc", "a", "constructor", "x".repeat(40), "zz"];
  const hashOf = (name: string): string => new Bun.CryptoHasher("sha256").update(name).digest("hex");

  test("of an empty channel has every part", () => {
    expect(decode(Buffer.concat(composeShardIndex("linux-64", [], 0)))).toEqual({
      info: { base_url: "", shards_base_url: "./shards/", subdir: "linux-64" },
      shards: {},
      version: 1,
    });
  });

  test("is joined from the entries of its names", () => {
    const entries = NAMES.map((name) => shardIndexEntry(name, hashOf(name)));
    const index = Buffer.concat(composeShardIndex("noarch", entries, NAMES.length));
    expect(decode(index)).toEqual({
      info: { base_url: "", shards_base_url: "./shards/", subdir: "noarch" },
      shards: Object.fromEntries(NAMES.map((name) => [name, hexBytes(hashOf(name))])),
      version: 1,
    });
    const inTwo = [Buffer.concat(entries.slice(0, 4)), Buffer.concat(entries.slice(4))];
    expect(Buffer.concat(composeShardIndex("noarch", inTwo, NAMES.length)).equals(index)).toBe(true);
  });

  test("of a large channel is built in milliseconds", () => {
    const entries = Array.from({ length: 31_000 }, (_, at) => shardIndexEntry(`name-${at}`, SHA256));
    const started = performance.now();
    const bytes = Buffer.concat(composeShardIndex("noarch", entries, entries.length));
    expect(performance.now() - started).toBeLessThan(100);
    const { shards } = Object(decode(bytes));
    expect(Object.keys(shards)).toHaveLength(31_000);
  });
});

test("a shard document is one zstd frame with its size and no checksum", () => {
  for (const length of [0, 1, 300, 70_000, 3_000_000]) {
    const content = Buffer.from("package ".repeat(Math.ceil(length / 8))).subarray(0, length);
    for (const frame of [compressShard(content), compressShardIndex([content.subarray(0, 5), content.subarray(5)])]) {
      expect(Buffer.from(frame.subarray(0, 4)).toString("hex")).toBe("28b52ffd");
      expect(contentSize(frame)).toBe(length);
      expect((frame[4] ?? 0) & 0b100).toBe(0);
      expect(endOfFrame(frame)).toBe(frame.byteLength);
      expect(Bun.zstdDecompressSync(new Uint8Array(frame))).toEqual(content);
    }
  }
});

function hexBytes(hash: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hash, "hex"));
}

/** Undefined when the frame does not say. https://www.rfc-editor.org/rfc/rfc8878 */
function contentSize(frame: Uint8Array): number | undefined {
  const bytes = Buffer.from(frame);
  const [descriptor = 0] = frame.subarray(4);
  const isSingle = (descriptor & 0x20) !== 0;
  const at = isSingle ? 5 : 6;
  switch (descriptor >> 6) {
    case 0:
      return isSingle ? bytes[at] : undefined;
    case 1:
      return bytes.readUInt16LE(at) + 256;
    case 2:
      return bytes.readUInt32LE(at);
    default:
      return Number(bytes.readBigUInt64LE(at));
  }
}

function endOfFrame(frame: Uint8Array): number {
  const bytes = Buffer.from(frame);
  const [descriptor = 0] = frame.subarray(4);
  const isSingle = (descriptor & 0x20) !== 0;
  let at = (isSingle ? 5 : 6) + ([isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0);
  for (;;) {
    const header = bytes.readUIntLE(at, 3);
    const isRepeated = ((header >> 1) & 3) === 1;
    at += 3 + (isRepeated ? 1 : header >> 3);
    if ((header & 1) === 1) return at;
  }
}
