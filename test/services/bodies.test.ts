import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createBodies, type Bodies, type Body, type Stored } from "../../src/services/bodies.ts";

const MIB = 1024 ** 2;
const SMALL = randomBytes(200_000);
const LARGE = randomBytes(3 * MIB);

let folder: string;
let opened: string[];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "condarium-bodies-"));
  writeFileSync(join(folder, "small"), SMALL);
  writeFileSync(join(folder, "large"), LARGE);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function stored(name: string, size: number, key = name): Stored {
  return {
    key,
    size,
    open: async (range) => {
      opened.push(range ? `${key} ${range.start}-${range.end}` : key);
      const file = Bun.file(join(folder, name));
      return range ? file.slice(range.start, range.end + 1) : file;
    },
  };
}

const READING = { isOpen: () => true };
const bytesOf = async (body: Body): Promise<Buffer> => Buffer.from(await new Response(body).arrayBuffer());

async function fill(bodies: Bodies): Promise<void> {
  for (let at = 0; bodies.bytes + SMALL.length < 2 * MIB; at += 1)
    await bodies.open(stored("small", SMALL.length, `fill ${at}`), READING);
  opened = [];
}

test("a small file is read once for a thousand readers, whatever range they request", async () => {
  opened = [];
  const bodies = createBodies();
  const file = stored("small", SMALL.length);
  const ranges = Array.from({ length: 1000 }, (_, at) => (at % 2 === 0 ? undefined : { start: at, end: at + 9 }));
  const all = await Promise.all(ranges.map((range) => bodies.open(file, { ...READING, range })));
  expect(opened).toEqual(["small"]);
  expect(await bytesOf(all[0] ?? new Blob())).toEqual(SMALL);
  expect(await bytesOf(all[777] ?? new Blob())).toEqual(SMALL.subarray(777, 787));
  expect(bodies.bytes).toBeLessThan(SMALL.length + 10_000);
});

test("a large file is sent from disk, and a small range of it counts with its own size", async () => {
  opened = [];
  const bodies = createBodies();
  const file = stored("large", LARGE.length);
  expect(await bytesOf(await bodies.open(file, READING))).toEqual(LARGE);
  const half = { start: MIB, end: 2 * MIB + 99 };
  expect(await bytesOf(await bodies.open(file, { ...READING, range: half }))).toEqual(
    LARGE.subarray(MIB, 2 * MIB + 100),
  );
  expect([bodies.bytes, opened]).toEqual([0, ["large", `large ${half.start}-${half.end}`]]);
  const part = { start: 5, end: 500_004 };
  expect(await bytesOf(await bodies.open(file, { ...READING, range: part }))).toEqual(LARGE.subarray(5, 500_005));
  expect(bodies.bytes).toBeGreaterThanOrEqual(500_000);
});

test("a reader who finds the memory budget used up gets the same bytes as a stream, and takes no memory", async () => {
  const bodies = createBodies({ budget: 2 * MIB });
  await fill(bodies);
  const before = bodies.bytes;
  const [small, large] = [stored("small", SMALL.length), stored("large", LARGE.length)];
  const whole = await bodies.open(small, READING);
  expect([whole instanceof ReadableStream, opened]).toEqual([true, []]);
  expect(await bytesOf(whole)).toEqual(SMALL);
  const range = { start: 100_000, end: 199_998 };
  expect(await bytesOf(await bodies.open(small, { ...READING, range }))).toEqual(SMALL.subarray(100_000, 199_999));
  expect(await bytesOf(await bodies.open(large, { ...READING, range }))).toEqual(LARGE.subarray(100_000, 199_999));
  expect(bodies.bytes).toBe(before);
  expect(opened.every((each) => each.includes("-"))).toBe(true);
});

test("a file of the wrong length is never sent as complete", async () => {
  opened = [];
  for (const wrong of [SMALL.length - 1, SMALL.length + 1]) {
    const bodies = createBodies({ budget: 2 * MIB });
    const range = { start: 0, end: wrong - 1 };
    // A wrong length cannot be detected in a range, but in the complete file it can.
    if (wrong > SMALL.length)
      expect(bodies.open(stored("small", wrong), { ...READING, range })).rejects.toThrow("bytes");
    expect(bodies.open(stored("small", wrong), READING)).rejects.toThrow("bytes");
    await Bun.sleep(20);
    expect(bodies.bytes).toBe(0);
  }
  const bodies = createBodies({ budget: 2 * MIB });
  await fill(bodies);
  const cut = await bodies.open(stored("small", SMALL.length + 1), READING);
  expect(bytesOf(cut)).rejects.toThrow("bytes");
});
