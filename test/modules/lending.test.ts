import { expect, test } from "bun:test";
import { createLending, type Borrower, type Lending } from "../../src/modules/lending.ts";

const KIB = 1024;
const ENTRY = 4 * KIB;

type Reader = Borrower & { end(): void };
function reader(): Reader {
  let open = true;
  return { isOpen: () => open, end: () => (open = false) };
}

let reads = 0;
const content = (bytes: number) => async (): Promise<Blob> => {
  reads += 1;
  await Bun.sleep(1);
  return new Blob([new Uint8Array(bytes)]);
};

async function borrow(lending: Lending, key: string, bytes: number, who: Borrower = reader()): Promise<boolean> {
  return (await lending.borrow(key, bytes, content(bytes), who)) !== undefined;
}

test("an entry wanted by many at once is read once, and stays for the next reader", async () => {
  const lending = createLending({ budget: 100 * KIB });
  reads = 0;
  const all = await Promise.all(Array.from({ length: 500 }, () => borrow(lending, "a", 10 * KIB)));
  expect([reads, all.every(Boolean), lending.bytes]).toEqual([1, true, 10 * KIB + ENTRY]);
  expect(lending.find("a", reader())?.size).toBe(10 * KIB);
  expect(lending.find("b", reader())).toBeUndefined();
});

test("an entry in use keeps its memory, also while it is read, and no entry is admitted past the budget", async () => {
  const lending = createLending({ budget: 3 * (10 * KIB + ENTRY) });
  const readers = Array.from({ length: 3 }, reader);
  const first = readers.map((who, at) => borrow(lending, `${at}`, 10 * KIB, who));
  // All reads are still in progress.
  expect(lending.borrow("more", 1, content(1), reader())).toBeUndefined();
  await Promise.all(first);
  for (let at = 0; at < 100; at += 1) expect(await borrow(lending, `more ${at}`, 10 * KIB)).toBe(false);
  expect(lending.bytes).toBe(3 * (10 * KIB + ENTRY));
  readers[1]?.end();
  expect(await borrow(lending, "more", 10 * KIB)).toBe(true);
  expect(["0", "1", "2", "more"].map((key) => lending.find(key, reader()) !== undefined)).toEqual([
    true,
    false,
    true,
    true,
  ]);
  expect(await borrow(lending, "larger than all", 100 * KIB)).toBe(false);
});

test("an entry stays while one of many readers holds it, and becomes evictable with the last one", async () => {
  const lending = createLending({ budget: 10 * KIB + ENTRY });
  const readers = Array.from({ length: 200 }, reader);
  for (const who of readers) expect(await borrow(lending, "a", 10 * KIB, who)).toBe(true);
  for (const who of readers.filter((_, at) => at !== 77)) who.end();
  expect(await borrow(lending, "b", 10 * KIB)).toBe(false);
  readers[77]?.end();
  expect(await borrow(lending, "b", 10 * KIB)).toBe(true);
});

test("the least recently used entry is evicted first", async () => {
  const lending = createLending({ budget: 2 * (10 * KIB + ENTRY) });
  const nobody = { isOpen: () => false };
  for (const key of ["a", "b", "a", "c"]) expect(await borrow(lending, key, 10 * KIB, nobody)).toBe(true);
  expect(["a", "b", "c"].map((key) => lending.find(key, nobody) !== undefined)).toEqual([true, false, true]);
});

test("a failed read fails for all waiting readers, takes no memory, and the next reader retries", async () => {
  const lending = createLending({ budget: 100 * KIB });
  const fails = (): Promise<Blob> => Promise.reject(new Error("no disk"));
  const both = [lending.borrow("a", 10, fails, reader()), lending.borrow("a", 10, fails, reader())];
  for (const each of both) expect(each).rejects.toThrow("no disk");
  await Bun.sleep(1);
  expect(lending.bytes).toBe(0);
  expect(await borrow(lending, "a", 10)).toBe(true);
  expect(lending.bytes).toBe(10 + ENTRY);
});

test("an entry has a minimum cost however small it is", async () => {
  const lending = createLending({ budget: 100 * ENTRY });
  let taken = 0;
  for (let at = 0; at < 1000; at += 1) if (await borrow(lending, `${at}`, 0)) taken += 1;
  expect(taken).toBe(100);
});
