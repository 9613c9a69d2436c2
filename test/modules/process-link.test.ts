import { describe, expect, test } from "bun:test";
import { AppError } from "../../src/errors.ts";
import { createLink, type Grant, type Link, type LinkParts } from "../../src/modules/process-link.ts";

/** Two linked sides in one process; messages are copied, as a channel does. */
function linked(parts: Omit<LinkParts, "send">): { readonly asking: Link; readonly granting: Link } {
  const asking: Link = createLink({ send: (message) => deliver(() => granting, message), calls: {} });
  const granting: Link = createLink({ ...parts, send: (message) => deliver(() => asking, message) });
  return { asking, granting };
}

function deliver(to: () => Link, message: unknown): void {
  const copy: unknown = structuredClone(message);
  queueMicrotask(() => to().receive(copy));
}

async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => "no error",
    (error: unknown) => error,
  );
}

const settled = (): Promise<void> => Bun.sleep(5);

describe("a call", () => {
  test("returns what the other side returns, for each of several at the same time", async () => {
    const { asking } = linked({ calls: { double: async (input) => Number(input) * 2 } });
    expect(await Promise.all([1, 2, 3].map((one) => asking.call("double", one)))).toEqual([2, 4, 6]);
  });

  test("fails with the other side's error, with its code and its facts, but not its cause", async () => {
    const facts = { retryAfter: 7, members: { limit: 3 }, log: "why", cause: new Error("inside") };
    const refuse = (): never => {
      throw new AppError("throttled", "Too many.", facts);
    };
    const error = await errorOf(linked({ calls: { refuse } }).asking.call("refuse"));
    expect(error).toBeInstanceOf(AppError);
    expect(error).toMatchObject({ code: "throttled", message: "Too many.", facts: { retryAfter: 7, log: "why" } });
    expect((error as AppError).facts.cause).toBeUndefined();
  });

  test("for something unknown fails", async () => {
    expect(await errorOf(linked({ calls: {} }).asking.call("nothing"))).toBeInstanceOf(Error);
  });

  test("fails when the other side ends, before or after it was sent", async () => {
    const { asking } = linked({ calls: { never: () => new Promise(() => undefined) } });
    const waiting = errorOf(asking.call("never"));
    await settled();
    asking.close();
    expect(await waiting).toMatchObject({ code: "unavailable" });
    expect(await errorOf(asking.call("never"))).toMatchObject({ code: "unavailable" });
  });
});

describe("a hold", () => {
  /** Grants one at a time, and notes who has it. */
  function oneAtATime() {
    const events: string[] = [];
    let last: Promise<void> = Promise.resolve();
    const grant = async (input: unknown, granted: Grant): Promise<void> => {
      const before = last;
      const { promise, resolve } = Promise.withResolvers<void>();
      last = promise;
      await before;
      events.push(`begin ${String(input)}`);
      granted.onNote = (text) => events.push(`note ${text}`);
      await granted.begin();
      events.push(`end ${String(input)}`);
      resolve();
    };
    return { events, grants: { turn: grant } };
  }

  test("lasts until its release, and the next one waits for that", async () => {
    const { events, grants } = oneAtATime();
    const { asking } = linked({ calls: {}, grants });
    const first = await asking.hold("turn", "a");
    const second = asking.hold("turn", "b");
    await settled();
    expect(events).toEqual(["begin a"]);
    first?.note("working");
    first?.release();
    first?.release();
    (await second)?.release();
    await settled();
    expect(events).toEqual(["begin a", "note working", "end a", "begin b", "end b"]);
  });

  test("ends with the process that has it, and one that it still waits for ends as soon as it is granted", async () => {
    const { events, grants } = oneAtATime();
    const { asking, granting } = linked({ calls: {}, grants });
    await asking.hold("turn", "a");
    void asking.hold("turn", "b").catch(() => undefined);
    await settled();
    granting.close();
    await settled();
    expect(events).toEqual(["begin a", "end a", "begin b", "end b"]);
    // A message can arrive after the end of its process.
    granting.receive({ kind: "hold", id: 9, name: "turn", input: "c" });
    await settled();
    expect(events.slice(4)).toEqual(["begin c", "end c"]);
  });

  test("is aborted with the error of the granting side", async () => {
    const end = async (_: unknown, grant: Grant): Promise<void> => {
      setTimeout(() => grant.end(new AppError("timeout", "Too slow.")), 1);
      await grant.begin();
    };
    const held = await linked({ calls: {}, grants: { end } }).asking.hold("end", undefined);
    expect(held?.signal.aborted).toBe(false);
    await Bun.sleep(20);
    expect(held?.signal.reason).toMatchObject({ code: "timeout", message: "Too slow." });
  });

  test("is refused by an error, and declined without one", async () => {
    const refuse = async (): Promise<void> => {
      throw new AppError("throttled", "Full.");
    };
    const decline = async (): Promise<void> => undefined;
    const { asking } = linked({ calls: {}, grants: { refuse, decline } });
    expect(await errorOf(asking.hold("refuse", undefined))).toMatchObject({ code: "throttled" });
    expect(await asking.hold("decline", undefined)).toBeUndefined();
  });
});

test("a message of another form is refused", () => {
  const link = createLink({ send: () => undefined, calls: {} });
  for (const message of [undefined, "stop", { kind: "call" }, { kind: "other", id: 1 }])
    expect(() => link.receive(message)).toThrow();
});
