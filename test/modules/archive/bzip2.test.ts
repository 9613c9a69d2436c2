import { describe, expect, test } from "bun:test";

import Bzip2 from "compressjs/lib/Bzip2.js";
import * as fc from "fast-check";

import { decompressBzip2 } from "../../../src/modules/archive/bzip2.ts";
import { ArchiveRefusal } from "../../../src/modules/archive/refusal.ts";
import { bzip2 } from "../../support/package-builder.ts";
import { ruleOf } from "./support.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const sample = bytes("It is a truth universally acknowledged, that a package in want of a channel. ".repeat(40));
const packed = bzip2(sample);

function decode(chunks: readonly Uint8Array[]): Buffer {
  const output: Buffer[] = [];
  for (const chunk of decompressBzip2(chunks)) output.push(Buffer.from(chunk));
  return Buffer.concat(output);
}

/** Bytes with few values and many runs, where the two run length codings meet. */
function runs(count: number): Uint8Array {
  let state = 12345;
  const next = (): number => (state = (state * 1103515245 + 12345) % 2147483648);
  const parts: Buffer[] = [];
  for (let at = 0; at < count; at += 1) parts.push(Buffer.alloc(1 + (next() % 1200), (next() >> 8) % 3));
  return Buffer.concat(parts);
}

describe("the bzip2 decoder", () => {
  const samples: [string, Uint8Array][] = [
    ["no bytes", new Uint8Array(0)],
    ["one byte", bytes("x")],
    ["text", sample],
    ["all byte values", Uint8Array.from({ length: 70_000 }, (_, index) => (index * index) >> 3)],
    ["runs of every length", runs(2000)],
    ["several blocks", Uint8Array.from({ length: 350_000 }, (_, index) => (index * 7919) >> 9)],
    ["a run longer than a block", new Uint8Array(3_000_000)],
  ];
  test.each(samples)("decodes %s", (_, original) => {
    expect(Buffer.compare(decode([bzip2(original)]), original)).toBe(0);
    expect(Buffer.compare(decode([Bzip2.compressFile(original, undefined, 9)]), original)).toBe(0);
  });

  test("decodes chunks of any size", () => {
    const single = Array.from(packed, (byte) => Uint8Array.of(byte));
    expect(decode([new Uint8Array(0), ...single]).equals(sample)).toBe(true);
  });

  test("decodes only as much as is requested", () => {
    const decoder = decompressBzip2([Bzip2.compressFile(new Uint8Array(20_000_000), undefined, 9)]);
    expect(decoder.next().value?.length).toBeLessThanOrEqual(1024 ** 2);
    decoder.return();
  });
});

describe("the bzip2 decoder", () => {
  const cases: [string, string, Uint8Array][] = [
    ["data of another kind", "bzip2-corrupt", bytes("PK\u0003\u0004")],
    ["a block size of zero", "bzip2-corrupt", withByte(packed, 3, 0x30)],
    ["a second stream", "bzip2-several-streams", Buffer.concat([packed, bzip2(bytes("more"))])],
    ["a second stream of nothing", "bzip2-several-streams", Buffer.concat([packed, bzip2(new Uint8Array(0))])],
    ["the beginning of a second stream", "bzip2-trailing-data", Buffer.concat([packed, bytes("BZ")])],
    ["one byte behind the stream", "bzip2-trailing-data", Buffer.concat([packed, bytes("B")])],
    ["bytes behind the stream", "bzip2-trailing-data", Buffer.concat([packed, bytes("more")])],
    ["zeros behind the stream", "bzip2-trailing-data", Buffer.concat([packed, new Uint8Array(10)])],
    ["a wrong checksum of a block", "bzip2-corrupt", withByte(packed, 10, (packed[10] ?? 0) ^ 1)],
    ["a wrong checksum of the stream", "bzip2-corrupt", withByte(packed, packed.length - 2, (packed.at(-2) ?? 0) ^ 1)],
    ["a randomised block", "bzip2-corrupt", withByte(packed, 14, (packed[14] ?? 0) | 0x80)],
  ];
  test.each(cases)("refuses %s", async (_, rule, broken) => {
    expect(await ruleOf(() => decode([broken]))).toBe(rule);
  });

  test("refuses a stream truncated anywhere", async () => {
    for (let length = 0; length < packed.length; length += 1) {
      expect([length, await ruleOf(() => decode([packed.subarray(0, length)]))]).toEqual([length, "bzip2-corrupt"]);
    }
  });

  test("refuses a block that uses no byte, and a run without its length, as libbz2 does", () => {
    expect(() => decode([oneBlock({ used: "0".repeat(16), symbols: "" })])).toThrow("uses no byte at all");
    // Four repetitions of the one byte: RUNB, RUNA and the end of the block.
    const used = `${binary(1 << 9, 16)}${binary(1 << 14, 16)}`;
    expect(() => decode([oneBlock({ used, symbols: "10011" })])).toThrow("a run ends without its length");
  });

  test("refuses an endless run at once", () => {
    expect(() => decode([endlessRun()])).toThrow("a run is longer than a block");
  });

  test("refuses a stream with any one byte changed, or decodes it like compressjs", () => {
    const change = fc.record({ at: fc.nat(packed.length - 1), byte: fc.integer({ min: 0, max: 255 }) });
    fc.assert(
      fc.property(change, ({ at, byte }) => {
        const ours = attempt(() => decode([withByte(packed, at, byte)]));
        if (ours !== undefined)
          expect(ours.equals(Buffer.from(Bzip2.decompressFile(withByte(packed, at, byte))))).toBe(true);
      }),
      { seed: 2, numRuns: 200 },
    );
  });
});

function attempt(decodeIt: () => Buffer): Buffer | undefined {
  try {
    return decodeIt();
  } catch (error) {
    if (error instanceof ArchiveRefusal) return undefined;
    throw error;
  }
}

function withByte(original: Uint8Array, at: number, byte: number): Uint8Array {
  const changed = original.slice();
  changed[at] = byte;
  return changed;
}

/** A block of only RUNB codes, whose weights would exceed 2^31 and wrap around. */
function endlessRun(): Uint8Array {
  return oneBlock({ used: binary(1 << 15, 16) + binary(1 << 15, 16), symbols: "10".repeat(5000) });
}

/** A stream that starts with a block; `used` says which bytes it has, one or none. */
function oneBlock({ used, symbols }: { used: string; symbols: string }): Uint8Array {
  const table = `${binary(1, 5)}01000`; // lengths: RUNA 1, RUNB 2, end of block 2
  const bits = [
    binary(0, 32), // the block's checksum
    "0", // not randomised
    binary(0, 24), // where it starts
    used,
    binary(2, 3) + binary(1000, 15) + "0".repeat(1000), // two tables, always the first
    table + table,
    symbols + "0".repeat(64),
  ].join("");
  const body = (bits.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2));
  return Buffer.concat([Buffer.from("BZh9"), Buffer.from("314159265359", "hex"), Buffer.from(body)]);
}

function binary(value: number, width: number): string {
  return value.toString(2).padStart(width, "0");
}
