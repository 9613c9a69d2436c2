import { describe, expect, test } from "bun:test";
import { patienceOfCaller, withPatience } from "../../src/modules/patience.ts";

const wait = async (ms: number): Promise<void> => {
  const end = patienceOfCaller()?.beginWait();
  await Bun.sleep(ms);
  end?.();
};
const left = () => patienceOfCaller()?.left();

describe("the patience of work", () => {
  test("is unlimited outside", () => expect(patienceOfCaller()).toBeUndefined());

  test("ends with its waits, not with time, and is never negative", async () => {
    await withPatience(50, async () => {
      await Bun.sleep(80);
      expect(left()).toBe(50);
      await wait(20);
      expect(left()).toBeLessThanOrEqual(31);
      expect(left()).toBeGreaterThan(0);
      await wait(60);
      expect(left()).toBe(0);
    });
  });

  test("counts waits at the same time once, also while they last", async () => {
    await withPatience(1000, async () => {
      const waits = [wait(100), wait(100), wait(100)];
      await Bun.sleep(50);
      expect(left()).toBeLessThanOrEqual(951);
      await Promise.all(waits);
      expect(left()).toBeGreaterThan(750);
      expect(patienceOfCaller()?.spent()).toBeGreaterThan(95);
      const first = wait(60);
      await Bun.sleep(40);
      await Promise.all([first, wait(60)]);
      expect(patienceOfCaller()?.spent()).toBeGreaterThan(190);
    });
  });

  test("is its own for work inside, and takes what others have waited for it", async () => {
    await withPatience(1000, async () => {
      await withPatience(Infinity, async () => {
        await wait(30);
        expect(left()).toBe(Infinity);
      });
      expect(left()).toBe(1000);
      patienceOfCaller()?.spend(300);
      expect([left(), patienceOfCaller()?.spent()]).toEqual([700, 300]);
    });
  });
});
