import { Database as Connection } from "bun:sqlite";
import { sql } from "drizzle-orm";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "../../src/errors.ts";
import type { Database, Transaction } from "../../src/models/database.ts";
import { openDatabase, openSnapshots } from "../../src/models/open-database.ts";
import { findOwner, insertOwner, type OwnerRow } from "../../src/models/owner.ts";
import { owner } from "../../src/models/schema/sqlite.ts";
import { insertUser } from "../../src/models/user.ts";
import { systemClock } from "../../src/modules/clock.ts";
import { errorOf } from "../modules/error-of.ts";

let folder: string;
let path: string;
let database: Database;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-database-"));
  path = join(folder, "condarium.db");
  database = await openDatabase({ engine: "sqlite", path }, { clock: systemClock, create: true });
});
afterEach(async () => {
  await database.close();
  await rm(folder, { recursive: true, force: true });
});

const LATE = { kind: "user", name: "late", visibility: "public", created: 0 } as const;

function addOwner(tx: Transaction, name: string): Promise<OwnerRow> {
  return insertOwner(tx, { kind: "user", name, visibility: "public", created: 0 });
}

/** Runs `work` while another process, from SQLite's point of view, holds the write lock. */
async function whileLocked<T>(work: (release: () => void) => Promise<T>): Promise<T> {
  const other = new Connection(path);
  other.run("BEGIN IMMEDIATE");
  try {
    return await work(() => other.run("ROLLBACK"));
  } finally {
    other.close();
  }
}

describe("the connections of a database", () => {
  test("have the settings that durability needs", async () => {
    expect(await database.integrityProblems()).toEqual([]);
  });

  test("get the right journal mode at the next start after somebody changed it", async () => {
    await database.close();
    const other = new Connection(path);
    other.run("PRAGMA journal_mode = DELETE");
    other.close();
    database = await openDatabase({ engine: "sqlite", path }, { clock: systemClock, create: false });
    expect(await database.integrityProblems()).toEqual([]);
    const reader = new Connection(path);
    expect(reader.query("PRAGMA journal_mode").get()).toEqual({ journal_mode: "wal" });
    reader.close();
  });

  test("enforce foreign keys on the writing connection", async () => {
    const values = { ownerId: 4711, passwordHash: "", isAdmin: false, email: "" };
    expect(await errorOf(database.transact((tx) => insertUser(tx, values))).then(causes)).toContain("FOREIGN KEY");
  });

  test("refuse writes on the reading connection", async () => {
    const asWriter = database.read as Transaction;
    expect(await errorOf(addOwner(asWriter, "sneaky")).then(causes)).toContain("readonly");
    expect(await findOwner(database.read, "sneaky")).toBeUndefined();
  });
});

describe("a transaction", () => {
  test("that awaits and then fails leaves nothing", async () => {
    const failing = database.transact(async (tx) => {
      await addOwner(tx, "half");
      await Bun.sleep(10);
      await addOwner(tx, "whole");
      throw new Error("after all");
    });
    expect((await errorOf(failing)).message).toBe("after all");
    expect(await findOwner(database.read, "half")).toBeUndefined();
    expect(await findOwner(database.read, "whole")).toBeUndefined();
  });

  test("is invisible to readers until it is durable", async () => {
    const inside = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const writing = database.transact(async (tx) => {
      await addOwner(tx, "alice");
      inside.resolve();
      await goOn.promise;
      return await findOwner(tx, "alice");
    });
    await inside.promise;
    expect(await findOwner(database.read, "alice")).toBeUndefined();
    goOn.resolve();
    expect((await writing)?.name).toBe("alice");
    expect((await findOwner(database.read, "alice"))?.name).toBe("alice");
  });

  test("that creates an existing row fails with a conflict, without harm to others", async () => {
    const names = ["bob", "bob", "carol", "bob"];
    const made = await Promise.allSettled(names.map((name) => database.transact((tx) => addOwner(tx, name))));
    expect(made.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled", "rejected"]);
    for (const one of made) {
      if (one.status === "rejected") expect(one.reason).toMatchObject({ name: "AppError", code: "conflict" });
    }
  });

  describe("that is used after its unit ended", () => {
    const uses: [string, (tx: Transaction) => () => Promise<unknown>][] = [
      ["by a new query", (tx) => () => addOwner(tx, "late")],
      ["by a query that was built before", (tx) => once(tx.insert(owner).values(LATE).returning())],
      ["by a prepared statement", (tx) => () => findOwner(tx, "alice")],
      ["by a statement of SQL", (tx) => async () => tx.run(sql`DELETE FROM owner`)],
    ];
    test.each(uses)("%s is refused, alone and inside another transaction, and writes nothing", async (_, use) => {
      const { late, leaked } = await leave(use);
      expect(await errorOf(late()).then(causes)).toContain("after its unit of work had ended");
      await database.transact(async (tx) => {
        await addOwner(tx, "alice");
        expect(await errorOf(leaked()).then(causes)).toContain("after its unit of work had ended");
      });
      expect(await ownerNames()).toEqual(["alice"]);
    });

    test("is refused also when the unit failed", async () => {
      let kept: Transaction | undefined;
      const failing = database.transact(async (tx) => {
        kept = tx;
        throw new Error("after all");
      });
      await errorOf(failing);
      if (kept === undefined) throw new Error("the unit did not run");
      expect((await errorOf(addOwner(kept, "late"))).message).toContain("after its unit of work had ended");
    });

    /** The leftovers of a unit that ended well: two uses of its transaction. */
    async function leave(use: (tx: Transaction) => () => Promise<unknown>) {
      return await database.transact(async (tx) => ({ late: use(tx), leaked: use(tx) }));
    }

    function once(query: PromiseLike<unknown>): () => Promise<unknown> {
      return async () => await query;
    }

    async function ownerNames(): Promise<string[]> {
      const rows = await database.read.select({ name: owner.name }).from(owner).orderBy(owner.name);
      return rows.map(({ name }) => name);
    }
  });

  test("waits for another writing process while everything else proceeds", async () => {
    await whileLocked(async (release) => {
      const writing = database.transact((tx) => addOwner(tx, "patient"));
      const gap = await longestGap(400);
      expect(gap).toBeLessThan(100);
      expect(await findOwner(database.read, "patient")).toBeUndefined();
      release();
      expect((await writing).name).toBe("patient");
    });
  });
});

describe("the version of a database", () => {
  const changed = async (work: () => unknown): Promise<boolean> => {
    const before = database.version();
    await work();
    return database.version() !== before;
  };
  const unseen = (name: string) => database.transact((tx) => addOwner(tx, name), { isUnseen: true });

  test("stays while nothing is committed, and for commits marked unseen", async () => {
    expect(await changed(() => findOwner(database.read, "alice"))).toBe(false);
    expect(await changed(() => unseen("bob"))).toBe(false);
    expect((await findOwner(database.read, "bob"))?.name).toBe("bob");
  });

  test("changes with every other commit, also with one shared with an unseen unit", async () => {
    expect(await changed(() => database.transact((tx) => addOwner(tx, "alice")))).toBe(true);
    const both = () => Promise.all([unseen("bob"), database.transact((tx) => addOwner(tx, "carol")), unseen("dave")]);
    expect(await changed(both)).toBe(true);
  });

  test("changes no later than the commit becomes readable", async () => {
    const before = database.version();
    const writing = database.transact((tx) => addOwner(tx, "alice"));
    for (let exists = false; !exists;) {
      exists = (await findOwner(database.read, "alice")) !== undefined;
      if (exists) expect(database.version()).not.toBe(before);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await writing;
  });

  test("changes with commits of another connection before, between and after unseen commits", async () => {
    const other = await openDatabase({ engine: "sqlite", path }, { clock: systemClock, create: false });
    const others = (name: string) => other.transact((tx) => addOwner(tx, name), { isUnseen: true });
    const orders: (() => Promise<unknown>)[] = [
      () => others("alice"),
      async () => [await others("bob"), await unseen("carol")],
      async () => [await unseen("dave"), await others("erin")],
      async () => [await unseen("frank"), await others("grace"), await unseen("heidi")],
      () => Promise.all([unseen("ivan"), others("judy")]),
    ];
    for (const order of orders) expect(await changed(order)).toBe(true);
    await other.close();
  });
});

describe("a snapshot", () => {
  test("reads one revision while others write", async () => {
    const { snapshot } = openSnapshots({ engine: "sqlite", path });
    await snapshot(async (reader) => {
      expect(await findOwner(reader, "alice")).toBeUndefined();
      await database.transact((tx) => addOwner(tx, "alice"));
      expect(await findOwner(reader, "alice")).toBeUndefined();
    });
    await snapshot(async (reader) => expect((await findOwner(reader, "alice"))?.name).toBe("alice"));
  });

  test("that fails does not hold back the next snapshot", async () => {
    const { snapshot } = openSnapshots({ engine: "sqlite", path });
    expect((await errorOf(snapshot(() => Promise.reject(new Error("torn"))))).message).toBe("torn");
    await database.transact((tx) => addOwner(tx, "bob"));
    await snapshot(async (reader) => expect((await findOwner(reader, "bob"))?.name).toBe("bob"));
  });
});

describe("closing a database", () => {
  test("during a transaction fails that transaction, and the next start has nothing of it", async () => {
    const inside = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const work = async (tx: Transaction): Promise<void> => {
      await addOwner(tx, "cut");
      inside.resolve();
      await goOn.promise;
    };
    const outcomes = [errorOf(database.transact(work)), errorOf(database.transact((tx) => addOwner(tx, "waiting")))];
    await inside.promise;
    await database.close();
    goOn.resolve();
    for (const outcome of outcomes) expect(await outcome).toBeInstanceOf(Error);
    database = await openDatabase({ engine: "sqlite", path }, { clock: systemClock, create: false });
    expect(await findOwner(database.read, "cut")).toBeUndefined();
    expect(await findOwner(database.read, "waiting")).toBeUndefined();
    expect(await database.integrityProblems()).toEqual([]);
  });

  test("moves all data into the one file", async () => {
    await database.transact((tx) => addOwner(tx, "alice"));
    expect(Bun.file(`${path}-wal`).size).toBeGreaterThan(0);
    await database.close();
    expect(Bun.file(`${path}-wal`).size).toBe(0);
    await Bun.write(`${path}.copy`, Bun.file(path));
    database = await openDatabase({ engine: "sqlite", path: `${path}.copy` }, { clock: systemClock, create: false });
    expect((await findOwner(database.read, "alice"))?.name).toBe("alice");
  });
});

describe("a file that is no database", () => {
  const open = (file: string, create = true) =>
    errorOf((async () => await openDatabase({ engine: "sqlite", path: file }, { clock: systemClock, create }))());

  test.each([
    ["garbage", Buffer.from("this is no database, whatever its name says. ".repeat(200))],
    ["a damaged head", Buffer.concat([Buffer.from("SQLite format 3\0"), new Uint8Array(5000).fill(7)])],
  ])("is refused in one line and not changed: %s", async (_, bytes) => {
    const file = join(folder, "other.db");
    await Bun.write(file, bytes);
    const error = await open(file);
    expect(error).toBeInstanceOf(AppError);
    expect(error.message).toBe(`${file} is damaged, or not a database: restore it from a backup. Nothing was changed.`);
    expect(await Bun.file(file).bytes()).toEqual(new Uint8Array(bytes));
  });

  test("is refused when it is a folder, and when it is missing and must not be created", async () => {
    await mkdir(join(folder, "folder.db"));
    for (const [name, create] of [
      ["folder.db", true],
      ["missing.db", false],
    ] as const) {
      const error = await open(join(folder, name), create);
      expect([name, error instanceof AppError, error.message]).toEqual([
        name,
        true,
        expect.stringContaining(`${name} cannot be opened: `),
      ]);
    }
    expect(await Bun.file(join(folder, "missing.db")).exists()).toBe(false);
  });
});

/** The longest time during which the event loop was blocked. */
async function longestGap(ms: number): Promise<number> {
  let longest = 0;
  const start = performance.now();
  for (let last = start; last < start + ms;) {
    await Bun.sleep(1);
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }
  return longest;
}

function causes(error: Error): string {
  return error.cause instanceof Error ? `${error.message} ${causes(error.cause)}` : error.message;
}
