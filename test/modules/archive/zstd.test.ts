import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { constants, zstdCompressSync } from "node:zlib";

import { decompressZstd } from "../../../src/modules/archive/zstd.ts";
import { zstd } from "../../support/package-builder.ts";
import { ruleOf } from "./support.ts";

const sample = Buffer.from("condarium ".repeat(5000));
const checked = (bytes: Uint8Array): Buffer =>
  zstdCompressSync(bytes, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
const skippable = Buffer.from("502a4d1804000000deadbeef", "hex");

async function decode(bytes: Uint8Array, options: { step?: number; windowLog?: number } = {}): Promise<Buffer> {
  const { step = bytes.length, windowLog = 27 } = options;
  const chunks: Buffer[] = [];
  for await (const chunk of decompressZstd(cut(bytes, step), { path: "x", windowLog })) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

// A source that reuses one buffer, as reads of a file do.
async function* cut(bytes: Uint8Array, step: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(step);
  for (let at = 0; at < bytes.length; at += step) {
    const part = bytes.subarray(at, at + step);
    buffer.fill(0xee);
    buffer.set(part);
    yield buffer.subarray(0, part.length);
  }
}

describe("the zstd decoder", () => {
  const samples: [string, Uint8Array, Buffer][] = [
    ["a frame", zstd(sample), sample],
    ["a frame with a checksum", checked(sample), sample],
    ["a frame of nothing", zstd(new Uint8Array(0)), Buffer.alloc(0)],
    ["a run", zstd(new Uint8Array(3_000_000)), Buffer.alloc(3_000_000)],
    ["what cannot be compressed", zstd(noise(400_000)), noise(400_000)],
  ];
  test.each(samples)("decodes %s", async (_, packed, original) => {
    for (const step of [packed.length, 1000, 7]) {
      expect(Buffer.compare(await decode(packed, { step }), original)).toBe(0);
    }
  });

  test("decodes only as much as is requested", async () => {
    let asked = 0;
    const large = zstd(randomBytes(4_000_000));
    const step = 4096;
    async function* source(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < large.length; at += step) {
        asked += 1;
        yield large.subarray(at, at + step);
      }
    }
    const decoder = decompressZstd(source(), { path: "x", windowLog: 27 });
    await decoder.next();
    await decoder.return();
    expect(asked * step).toBeLessThan(large.length / 2);
  });

  test("decodes a short frame with a long text chunk by chunk", async () => {
    const bomb = zstd(new Uint8Array(64 * 1024 ** 2));
    const decoder = decompressZstd(cut(bomb, bomb.length), { path: "x", windowLog: 27 });
    const first = await decoder.next();
    await decoder.return();
    expect(first.value?.byteLength).toBeLessThanOrEqual(1024 ** 2);
  });
});

describe("the zstd decoder", () => {
  const packed = checked(sample);
  const cases: [string, string, Uint8Array, number?][] = [
    ["a second frame", "zstd-several-frames", Buffer.concat([zstd(sample), checked(sample)])],
    ["a second frame of nothing", "zstd-several-frames", Buffer.concat([zstd(sample), zstd(new Uint8Array(0))])],
    ["an empty file", "zstd-corrupt", new Uint8Array(0)],
    ["data of another kind", "zstd-corrupt", Buffer.from("not zstd at all")],
    ["a skippable frame in front", "zstd-corrupt", Buffer.concat([skippable, packed])],
    ["a skippable frame behind", "zstd-trailing-data", Buffer.concat([packed, skippable])],
    ["a skippable frame between two", "zstd-trailing-data", Buffer.concat([packed, skippable, packed])],
    ["bytes behind the frame", "zstd-trailing-data", Buffer.concat([packed, Buffer.from("x")])],
    ["zeros behind the frame", "zstd-trailing-data", Buffer.concat([packed, new Uint8Array(100)])],
    ["a window that is too large", "zstd-window", windowed(17), 16],
    ["a window of the largest kind", "zstd-window", withByte(windowed(17), 5, 0xff)],
    ["one segment that is too large", "zstd-window", zstd(Buffer.alloc(70_000)), 16],
    ["a wrong checksum", "zstd-corrupt", withByte(packed, packed.length - 1, (packed.at(-1) ?? 0) ^ 1)],
    ["a reserved bit", "zstd-corrupt", withByte(packed, 4, (packed[4] ?? 0) | 0x08)],
    ["a dictionary", "zstd-corrupt", withByte(packed, 4, (packed[4] ?? 0) | 0x01)],
    ["a broken block", "zstd-corrupt", Buffer.from(zstd(sample)).fill(0xff, 15, 25)],
  ];
  test.each(cases.map(([name, rule, bytes, windowLog = 27]) => [name, rule, bytes, windowLog] as const))(
    "refuses %s",
    async (_, rule, bytes, windowLog) => {
      expect(await ruleOf(() => decode(bytes, { windowLog }))).toBe(rule);
    },
  );

  test("refuses a frame truncated anywhere", async () => {
    for (let length = 0; length < packed.length; length += 1) {
      expect([length, await ruleOf(() => decode(packed.subarray(0, length)))]).toEqual([length, "zstd-corrupt"]);
    }
  });

  test("passes on an error of its source unchanged", async () => {
    const options = { path: "x", windowLog: 27 };
    const failure = await Array.fromAsync(decompressZstd(failing(packed.subarray(0, 10)), options)).catch(String);
    expect(failure).toBe("Error: the disk is gone");
  });
});

async function* failing(start: Uint8Array): AsyncGenerator<Uint8Array> {
  yield start;
  throw new Error("the disk is gone");
}

function noise(length: number): Buffer {
  let state = 42;
  return Buffer.from(Uint8Array.from({ length }, () => (state = (state * 1103515245 + 12345) % 2147483648) >> 16));
}

/** Compressed without its size, and so with an explicit window. */
function windowed(log: number): Buffer {
  return Buffer.from(
    zstdCompressSync(noise(200_000), {
      params: { [constants.ZSTD_c_windowLog]: log, [constants.ZSTD_c_contentSizeFlag]: 0 },
    }),
  );
}

function withByte(original: Uint8Array, at: number, byte: number): Uint8Array {
  const changed = Uint8Array.from(original);
  changed[at] = byte;
  return changed;
}
