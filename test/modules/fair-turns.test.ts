import { describe, expect, test } from "bun:test";
import { createFairTurns, type FairTurns } from "../../src/modules/fair-turns.ts";
import { errorOf } from "./error-of.ts";

/** Turns under the test's clock, and work that continues until the test ends it. */
function scene(options: { readonly slots?: number; readonly queue?: number; readonly queuePerUser?: number } = {}) {
  let time = 0;
  const limits = { slots: 2, queue: 100, queuePerUser: 50, patienceMs: 60_000, ...options };
  const turns = createFairTurns({ ...limits, now: () => time });
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  return {
    turns,
    begun: async () => {
      await Bun.sleep(0);
      return begun;
    },
    pass: (ms: number) => void (time += ms),
    ask: (who: string, name: string) => {
      const work = async (): Promise<void> => {
        begun.push(name);
        await new Promise<void>((resolve) => void ends.set(name, resolve));
      };
      // Jobs that a test leaves waiting are notified this long after its end.
      turns.run(who, work).catch(() => undefined);
    },
    end: async (name: string) => {
      await Bun.sleep(0);
      ends.get(name)?.();
      await Bun.sleep(0);
    },
  };
}

const nothing = async (turns: FairTurns, who: string): Promise<void> => await turns.run(who, () => Promise.resolve());

describe("fair turns", () => {
  test("give a lone user all slots, and no more", async () => {
    const { ask, begun, end } = scene();
    for (const name of ["a1", "a2", "a3"]) ask("alice", name);
    expect(await begun()).toEqual(["a1", "a2"]);
    await end("a1");
    expect(await begun()).toEqual(["a1", "a2", "a3"]);
  });

  test.each([1, 2, 3])("let another user start at once while one user holds all of %i slots", async (slots) => {
    const { ask, begun } = scene({ slots });
    for (let at = 0; at < 16; at++) ask("alice", `a${at}`);
    expect(await begun()).toHaveLength(slots);
    ask("bob", "b");
    expect((await begun()).at(-1)).toBe("b");
  });

  test("share the slots between the users present", async () => {
    const { ask, begun, end } = scene({ slots: 4 });
    for (let at = 0; at < 8; at++) ask("alice", `a${at}`);
    for (let at = 0; at < 8; at++) ask("bob", `b${at}`);
    expect(await begun()).toEqual(["a0", "a1", "a2", "a3", "b0"]);
    for (const name of ["a0", "a1", "a2"]) await end(name);
    expect((await begun()).slice(5)).toEqual(["b1", "a4"]);
  });

  test("run the user with the least use first, however much others have queued", async () => {
    const { ask, begun, end, pass } = scene({ slots: 1 });
    ask("alice", "a0");
    ask("bob", "b0");
    pass(5000);
    await end("b0");
    for (let at = 1; at < 9; at++) ask("alice", `a${at}`);
    ask("bob", "b1");
    pass(5000);
    ask("carol", "c0");
    await end("a0");
    expect(await begun()).toEqual(["a0", "b0", "b1", "c0"]);
    await end("b1");
    await end("c0");
    expect((await begun()).slice(4)).toEqual(["a1"]);
  });

  test("forget past use with time", async () => {
    const { ask, begun, end, pass } = scene({ slots: 1 });
    ask("alice", "a0");
    pass(100_000);
    await end("a0");
    pass(60 * 60_000);
    ask("bob", "b0");
    pass(1000);
    await end("b0");
    ask("x", "x0");
    ask("y", "y0");
    ask("alice", "a1");
    ask("bob", "b1");
    for (const name of ["x0", "y0"]) await end(name);
    expect((await begun()).slice(2)).toEqual(["x0", "y0", "a1", "b1"]);
  });

  test("refuse too many jobs of one user and of all, and accept again later", async () => {
    const { ask, turns, end } = scene({ slots: 1, queue: 3, queuePerUser: 2 });
    for (const name of ["a0", "a1", "a2"]) ask("alice", name);
    const own = await errorOf(nothing(turns, "alice"));
    expect(own).toMatchObject({ code: "throttled", facts: { retryAfter: 5 } });
    expect(own.message).toContain("alice has 2 packages waiting");
    ask("bob", "b0");
    ask("bob", "b1");
    expect(turns.waiting).toBe(3);
    expect(await errorOf(nothing(turns, "carol"))).toMatchObject({ code: "unavailable" });
    await end("b0");
    await end("a0");
    expect(turns.waiting).toBe(1);
    ask("carol", "c0");
  });

  test("notify jobs that waited too long, and remove them completely", async () => {
    const turns = createFairTurns({ slots: 1, queue: 9, queuePerUser: 9, patienceMs: 20, now: () => 0 });
    const opened = Promise.withResolvers<void>();
    const busy = turns.run("alice", () => opened.promise);
    expect(await errorOf(nothing(turns, "alice"))).toMatchObject({ code: "unavailable", facts: { retryAfter: 30 } });
    expect(turns.waiting).toBe(0);
    opened.resolve();
    await busy;
    await nothing(turns, "alice");
  });

  test("notify all waiting jobs when closed", async () => {
    const { turns, ask, begun, end } = scene({ slots: 1 });
    for (const name of ["a1", "b1"]) ask(name[0] ?? "", name);
    expect(await begun()).toEqual(["a1", "b1"]);
    const waiting = ["alice", "bob"].map((who) => errorOf(nothing(turns, who)));
    turns.close();
    for (const error of await Promise.all(waiting)) expect(error.message).toContain("shutting down");
    expect(turns.waiting).toBe(0);
    for (const name of ["a1", "b1"]) await end(name);
    await nothing(turns, "alice");
  });

  test("pass the turn on when a job fails", async () => {
    const { turns } = scene({ slots: 1 });
    for (let round = 0; round < 3; round++) {
      const failing = turns.run("alice", () => {
        throw new Error(`round ${round}`);
      });
      expect((await errorOf(failing)).message).toBe(`round ${round}`);
    }
    expect(turns.waiting).toBe(0);
  });

  test("refuse in the words of the caller", async () => {
    const texts = { full: "all full", tooLong: "too long", tooMany: (who: string, limit: number) => `${who} ${limit}` };
    const limits = { slots: 1, queue: 2, queuePerUser: 1, patienceMs: 20, now: () => 0 };
    const turns = createFairTurns({ ...limits, texts });
    const opened = Promise.withResolvers<void>();
    const busy = turns.run("alice", () => opened.promise);
    const waits = errorOf(nothing(turns, "alice"));
    expect((await errorOf(nothing(turns, "alice"))).message).toBe("alice 1");
    const spare = turns.run("bob", () => opened.promise);
    const other = errorOf(nothing(turns, "bob"));
    expect((await errorOf(nothing(turns, "carol"))).message).toBe("all full");
    expect([(await waits).message, (await other).message]).toEqual(["too long", "too long"]);
    opened.resolve();
    await Promise.all([busy, spare]);
  });
});
