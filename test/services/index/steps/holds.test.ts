import { expect, test } from "bun:test";
import { systemClock } from "../../../../src/modules/clock.ts";
import { createHolds } from "../../../../src/services/index/steps/holds.ts";
import { createLongWork, ABANDON_AFTER_MS, type Work } from "../../../../src/services/index/steps/long-work.ts";

function clockAt(time: { now: number }) {
  return { ...systemClock, elapsed: () => time.now };
}

test("a held key passes to the waiting holders in request order", () => {
  const holds = createHolds({ clock: systemClock, most: 1 });
  expect(holds.canHold("thing", "a")).toBe(true);
  holds.hold("thing", "a");
  expect(["a", "b", "c"].map((key) => holds.canHold("thing", key))).toEqual([true, false, false]);
  expect(holds.canHold("another thing", "b")).toBe(true);
  holds.free("thing", "a");
  expect(["a", "c", "b"].map((key) => holds.canHold("thing", key))).toEqual([false, false, true]);
});

test("a waiting holder that never asks again blocks nobody permanently", () => {
  const time = { now: 0 };
  const holds = createHolds({ clock: clockAt(time), most: 1 });
  holds.hold("thing", "a");
  expect(holds.canHold("thing", "gone")).toBe(false);
  holds.free("thing", "a");
  expect(holds.canHold("thing", "b")).toBe(false);
  time.now = ABANDON_AFTER_MS + 1;
  expect(holds.canHold("thing", "b")).toBe(true);
});

test("long work resumes where it was, and is abandoned with all its holds when nobody continues it", async () => {
  const time = { now: 0 };
  const long = createLongWork<number>({ clock: clockAt(time) });
  const log: string[] = [];
  async function* work(): Work<number> {
    try {
      for (let at = 0; at < 3; at += 1) {
        log.push(`step ${at}`);
        yield at === 1 ? "waiting" : "step";
      }
      return 7;
    } finally {
      log.push("let go");
    }
  }
  const isLate = (): boolean => true;
  expect(await long.advance("a", work, isLate)).toEqual({ kind: "more", isWaiting: false });
  expect(await long.advance("a", work, isLate)).toEqual({ kind: "more", isWaiting: true });
  expect(log).toEqual(["step 0", "step 1"]);
  time.now = ABANDON_AFTER_MS / 2;
  await long.sweep();
  expect(long.has("a")).toBe(true);
  time.now = ABANDON_AFTER_MS * 2;
  await long.sweep();
  expect([long.has("a"), log.at(-1)]).toEqual([false, "let go"]);
  expect(await long.advance("a", work, () => false)).toEqual({ kind: "more", isWaiting: true });
  expect(await long.advance("a", work, () => false)).toEqual({ kind: "done", value: 7 });
  expect(long.has("a")).toBe(false);
});
