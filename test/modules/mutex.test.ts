import { describe, expect, test } from "bun:test";
import { createMutex, createSemaphore } from "../../src/modules/mutex.ts";
import { errorOf } from "./error-of.ts";

describe("a mutex", () => {
  test("runs jobs one after the other, in call order", async () => {
    const mutex = createMutex();
    const log: string[] = [];
    const work = async (name: string, ms: number): Promise<string> => {
      log.push(`${name} begins`);
      await Bun.sleep(ms);
      log.push(`${name} ends`);
      return name;
    };
    const results = await Promise.all([
      mutex.run(() => work("slow", 10)),
      mutex.run(() => work("quick", 0)),
      mutex.run(() => work("last", 0)),
    ]);
    expect(results).toEqual(["slow", "quick", "last"]);
    expect(log).toEqual(["slow", "quick", "last"].flatMap((name) => [`${name} begins`, `${name} ends`]));
  });

  test("passes the turn on when a job fails, also before its first await", async () => {
    const mutex = createMutex();
    const failures = [
      mutex.run(() => Promise.reject(new Error("later"))),
      mutex.run(() => {
        throw new Error("at once");
      }),
    ].map(errorOf);
    expect(await mutex.run(async () => "mine")).toBe("mine");
    expect((await Promise.all(failures)).map((error) => error.message)).toEqual(["later", "at once"]);
    expect([mutex.active, mutex.waiting]).toEqual([0, 0]);
  });

  test("lets no new job overtake the waiting ones", async () => {
    const mutex = createMutex();
    const log: string[] = [];
    const first = mutex.run(async () => void log.push("first"));
    const second = mutex.run(async () => void log.push("second"));
    const third = first.then(() => mutex.run(async () => void log.push("third")));
    await Promise.all([first, second, third]);
    expect(log).toEqual(["first", "second", "third"]);
  });
});

describe("long work in steps", () => {
  test("alternates between new and continuing jobs, so that neither kind waits for all of the other", async () => {
    const mutex = createMutex();
    const log: string[] = [];
    const first = async (name: string): Promise<void> => await mutex.run(async () => void log.push(name));
    const inSteps = async (name: string): Promise<void> => {
      for (const step of [1, 2, 3]) await mutex.run(async () => void log.push(`${name}${step}`), "further");
    };
    const opened = Promise.withResolvers<void>();
    const busy = mutex.run(() => opened.promise, "further");
    const all = [inSteps("a"), inSteps("b"), first("x"), first("y"), first("z")];
    opened.resolve();
    await Promise.all([busy, ...all]);
    expect(log).toEqual(["x", "a1", "y", "b1", "z", "a2", "b2", "a3", "b3"]);
    expect([mutex.active, mutex.waiting]).toEqual([0, 0]);
  });
});

describe("a semaphore", () => {
  test("never runs more jobs than it has slots, and frees every slot", async () => {
    const semaphore = createSemaphore(3, 1000);
    let [now, most] = [0, 0];
    const work = async (): Promise<void> => {
      now += 1;
      most = Math.max(most, now);
      await Bun.sleep(Math.random() * 2);
      now -= 1;
    };
    await Promise.all(Array.from({ length: 100 }, () => semaphore.run(work)));
    expect([now, most, semaphore.active, semaphore.waiting]).toEqual([0, 3, 0, 0]);
  });

  test("refuses when its queue is full, and accepts again when there is room", async () => {
    const semaphore = createSemaphore(1, 2);
    const opened = Promise.withResolvers<void>();
    const waiting = [1, 2, 3].map(() => semaphore.run(() => opened.promise));
    expect([semaphore.active, semaphore.waiting]).toEqual([1, 2]);
    let ran = false;
    const refusal = await errorOf(semaphore.run(async () => void (ran = true)));
    expect(refusal).toMatchObject({ code: "unavailable", facts: { retryAfter: 5 } });
    expect(ran).toBe(false);
    opened.resolve();
    await Promise.all(waiting);
    expect(await semaphore.run(async () => "taken")).toBe("taken");
  });
});
