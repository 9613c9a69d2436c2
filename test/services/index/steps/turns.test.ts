import { expect, test } from "bun:test";
import { createTurns } from "../../../../src/services/index/steps/turns.ts";

let time = 0;
const TURNS = { ofOne: 50, ofAll: 60, now: () => time };

/** Work that is blocked until it is released, and the order in which the jobs started. */
function begin(turns = createTurns(TURNS)) {
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const held = turns.run(0, "first", () => gate.promise);
  const run = (channel: number, what: string, step: "first" | "further" = "first"): Promise<void> =>
    turns.run(channel, step, async () => void order.push(what));
  return { order, run, open: () => gate.resolve(), held };
}

test("a channel that requests many documents delays another channel by one document", async () => {
  const { order, run, open } = begin();
  const busy = Array.from({ length: 20 }, (_, at) => run(1, `busy ${at}`));
  const others = [run(2, "other"), run(3, "third")];
  open();
  await Promise.all([...busy, ...others]);
  expect(order.slice(0, 4)).toEqual(["busy 0", "other", "third", "busy 1"]);
  expect(order).toHaveLength(22);
});

test("within a channel new and continuing requests alternate, each in call order", async () => {
  const { order, run, open } = begin();
  const all = ["a", "b", "c"].map((what) => run(1, `first ${what}`));
  all.push(...["a", "b"].map((what) => run(1, `further ${what}`, "further")));
  open();
  await Promise.all(all);
  expect(order).toEqual(["first a", "further a", "first b", "further b", "first c"]);
});

test("a full queue of one channel refuses no other channel, and no continuing request", async () => {
  const { order, run, open } = begin();
  const busy = Array.from({ length: TURNS.ofOne }, (_, at) => run(1, `busy ${at}`));
  expect(run(1, "one more")).rejects.toMatchObject({ code: "unavailable" });
  const others = Array.from({ length: TURNS.ofAll - TURNS.ofOne }, (_, at) => run(2 + at, `other ${at}`));
  expect(run(99, "too many of all")).rejects.toMatchObject({ code: "unavailable" });
  const further = run(1, "goes on", "further");
  open();
  await Promise.all([...busy, ...others, further]);
  expect(order).toContain("goes on");
  expect(order).not.toContain("one more");
  expect(order).not.toContain("too many of all");
});

test("a refusal reaches all that wait, of every channel and step, and nobody else", async () => {
  const { order, run, open, held } = begin();
  const turns = createTurns(TURNS);
  const gate = Promise.withResolvers<void>();
  const running = turns.run(1, "first", () => gate.promise);
  const waiting = [turns.run(1, "further", async () => 1), turns.run(2, "first", async () => 2)];
  const refused = Promise.allSettled(waiting);
  turns.refuse(new Error("gone"));
  for (const outcome of await refused) expect(outcome).toMatchObject({ reason: { message: "gone" } });
  const later = Array.from({ length: TURNS.ofAll }, (_, at) => turns.run(2 + (at % 3), "first", async () => "later"));
  gate.resolve();
  await running;
  expect(new Set(await Promise.all(later))).toEqual(new Set(["later"]));
  const other = run(1, "other");
  open();
  await Promise.all([held, other]);
  expect(order).toEqual(["other"]);
});

test("failing work passes the turn on", async () => {
  const turns = createTurns(TURNS);
  const failing = turns.run(1, "first", () => Promise.reject(new Error("no")));
  const next = turns.run(1, "first", () => Promise.resolve("done"));
  expect(failing).rejects.toThrow("no");
  expect(await next).toBe("done");
  expect(await turns.run(2, "first", () => Promise.resolve("free"))).toBe("free");
});

test("a channel with little use goes before all with much use, until that use is long ago", async () => {
  const turns = createTurns(TURNS);
  for (const channel of [1, 2, 3])
    await turns.run(channel, "first", async () => {
      time += channel === 3 ? 10 : 1000;
    });
  const round = async (): Promise<string[]> => {
    const { order, run, open } = begin(turns);
    const all = [run(1, "much"), run(2, "much too"), run(3, "little"), run(3, "little again")];
    open();
    await Promise.all(all);
    return order;
  };
  expect(await round()).toEqual(["little", "little again", "much", "much too"]);
  time += 1_000_000;
  expect(await round()).toEqual(["much", "much too", "little", "little again"]);
});
