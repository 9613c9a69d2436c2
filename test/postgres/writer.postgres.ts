// Units of work on PostgreSQL: in order within a channel, alone beside each other, all or nothing.

import { sql } from "drizzle-orm";
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { AppError } from "../../src/errors.ts";
import { bumpRevision, latestRevision, listChannels } from "../../src/models/channel.ts";
import type { Database, Transaction } from "../../src/models/database.ts";
import { lockBlob, lockChannel } from "../../src/models/locks.ts";
import { findOwner, insertOwner } from "../../src/models/owner.ts";
import { insertUser } from "../../src/models/user.ts";
import { errorOf } from "../modules/error-of.ts";
import { openEmpty } from "../support/postgres-database.ts";

const OTHER = join(import.meta.dir, "../support/revisions-process.ts");

const addOwner = (tx: Transaction, name: string) =>
  insertOwner(tx, { kind: "user", name, visibility: "public", created: 0 });

const change = (channelId: number) => async (tx: Transaction) =>
  await bumpRevision(tx, { channelId, identity: crypto.randomUUID(), at: Date.now(), actorId: null });

/** A unit that holds its transaction open until it is released. */
function held(database: Database, channelId: number) {
  const [began, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const unit = async (tx: Transaction): Promise<void> => {
    await change(channelId)(tx);
    began.resolve();
    await released.promise;
  };
  return { began: began.promise, release: released.resolve, done: database.transact(unit, { channels: [channelId] }) };
}

const statement = (tx: Transaction, text: string) =>
  (tx as unknown as { execute(query: unknown): Promise<unknown> }).execute(sql.raw(text));

describe("the revisions of a channel", () => {
  test("are committed in order and without gaps by eight writers in each of two processes", async () => {
    await using opened = await openEmpty();
    const [id = 0] = await opened.channels("busy");
    const rounds = 40;
    const child = Bun.spawn([process.execPath, OTHER, String(id), String(rounds)], {
      env: { CONDARIUM_DATABASE: opened.url },
      stdio: ["ignore", "inherit", "inherit"],
    });
    const seen: number[] = [];
    const done = new AbortController();
    const watch = (async () => {
      while (!done.signal.aborted) {
        const [row] = await opened.sql(
          `SELECT count(*)::int AS n, coalesce(max(revision), 0)::int AS last, (SELECT revision::int FROM channel WHERE id = ${id}) AS now FROM channel_revision`,
        );
        expect([row?.["n"], row?.["now"]]).toEqual([row?.["last"], row?.["last"]]);
        seen.push(Number(row?.["last"]));
      }
    })();
    const writers = Array.from({ length: 8 }, async () => {
      const own: number[] = [];
      for (let round = 0; round < rounds; round++)
        own.push(await opened.database.transact(change(id), { channels: [id] }));
      return own;
    });
    const revisions = (await Promise.all(writers)).flat();
    expect(await child.exited).toBe(0);
    done.abort();
    await watch;
    expect(new Set(revisions).size).toBe(8 * rounds);
    expect(await latestRevision(opened.database.read, id)).toMatchObject({ revision: 16 * rounds });
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  });

  test("of two channels do not wait for each other, and those of one do", async () => {
    await using opened = await openEmpty();
    const another = await opened.openAnother();
    const [one = 0, two = 0] = await opened.channels("one", "two");
    const open = held(opened.database, one);
    await open.began;
    for (const database of [opened.database, another])
      expect(await database.transact(change(two), { channels: [two] })).toBeGreaterThan(0);
    let isCommitted = false;
    const same = another.transact(change(one), { channels: [one] }).then((revision) => {
      isCommitted = true;
      return revision;
    });
    await Bun.sleep(300);
    expect(isCommitted).toBe(false);
    open.release();
    await open.done;
    expect(await same).toBe(2);
  });

  test("are locked before anything is read, so that a check and an insert belong together", async () => {
    await using opened = await openEmpty();
    const another = await opened.openAnother();
    const [id = 0] = await opened.channels("checked");
    const checked = (database: Database) =>
      database.transact(
        async (tx) => {
          const before = (await latestRevision(tx, id))?.revision ?? 0;
          await Bun.sleep(20);
          return (await change(id)(tx)) - before;
        },
        { channels: [id] },
      );
    const steps = Array.from({ length: 20 }, (_, at) => checked(at % 2 === 0 ? opened.database : another));
    expect(await Promise.all(steps)).toEqual(Array<number>(20).fill(1));
  });

  test("of several channels are changed by units with any order of them, without a deadlock", async () => {
    await using opened = await openEmpty();
    const another = await opened.openAnother();
    const ids = await opened.channels("a", "b", "c");
    const deadlocks = `SELECT deadlocks::int AS n FROM pg_stat_database WHERE datname = current_database()`;
    const both = (database: Database, channels: readonly number[]) =>
      database.transact(
        async (tx) => {
          for (const id of channels) await change(id)(tx);
        },
        { channels },
      );
    const rounds = Array.from({ length: 30 }, () => [both(opened.database, ids), both(another, ids.toReversed())]);
    await Promise.all(rounds.flat());
    expect((await opened.sql(deadlocks))[0]?.["n"]).toBe(0);
    expect((await listChannels(opened.database.read)).map(({ revision }) => revision)).toEqual([60, 60, 60]);
  });
});

describe("changes of users and channels", () => {
  test("come one after the other, so that what one has checked holds until its commit", async () => {
    await using opened = await openEmpty();
    const another = await opened.openAnother();
    const addIfMissing = (database: Database) =>
      database.transact(async (tx) => {
        if (await findOwner(tx, "only")) return "found";
        await Bun.sleep(20);
        await addOwner(tx, "only");
        return "added";
      });
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, (_, at) => addIfMissing(at % 2 === 0 ? opened.database : another)),
    );
    expect(outcomes.filter((outcome) => outcome === "added")).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === "found")).toHaveLength(9);
  });
});

describe("a unit of work", () => {
  test("that fails in a shared commit undoes only itself", async () => {
    await using opened = await openEmpty();
    const names = Array.from({ length: 12 }, (_, at) => `owner-${at}`);
    const outcomes = await Promise.allSettled(
      names.map((name, at) =>
        opened.database.transact(async (tx) => {
          await addOwner(tx, name);
          if (at % 3 === 1) throw new Error("no");
          if (at % 3 === 2) await addOwner(tx, name);
        }),
      ),
    );
    expect(outcomes.map(({ status }) => status === "fulfilled")).toEqual(names.map((_, at) => at % 3 === 0));
    const rows = await opened.sql("SELECT name FROM owner ORDER BY id");
    expect(rows.map((row) => row["name"])).toEqual(names.filter((_, at) => at % 3 === 0));
    const commits = await opened.sql("SELECT sum(commits)::int AS n FROM commit_count");
    expect(Number(commits[0]?.["n"])).toBeLessThan(4);
  });

  test("that breaks a rule of the database fails alone, also when it is tried again for that", async () => {
    await using opened = await openEmpty();
    const orphan = { ownerId: 4711, passwordHash: "", isAdmin: false, email: "" };
    const failing = errorOf(opened.database.transact((tx) => insertUser(tx, orphan)));
    const good = opened.database.transact((tx) => addOwner(tx, "good"));
    expect(await failing).toBeInstanceOf(AppError);
    expect((await good).name).toBe("good");
    expect(await opened.sql('SELECT id FROM "user"')).toEqual([]);
  });

  test("refuses use after its end, before it reaches the database", async () => {
    await using opened = await openEmpty();
    let kept: Transaction | undefined;
    await opened.database.transact(async (tx) => void (kept = tx));
    if (!kept) throw new Error("no transaction");
    expect(String(await errorOf(addOwner(kept, "late")))).toContain("after its unit of work had ended");
    expect(await findOwner(opened.database.read, "late")).toBeUndefined();
  });

  test("that swallows an error of the database is not acknowledged", async () => {
    await using opened = await openEmpty();
    for (const isUnseen of [false, true]) {
      const unit = async (tx: Transaction) => {
        await addOwner(tx, "swallowed");
        await statement(tx, "SELECT 1 / 0").catch(() => undefined);
      };
      expect(await errorOf(opened.database.transact(unit, { isUnseen }))).toBeInstanceOf(AppError);
    }
    expect(await findOwner(opened.database.read, "swallowed")).toBeUndefined();
  });

  test.each(["40001", "40P01"])("that meets %s is tried again, a bounded number of times", async (state) => {
    await using opened = await openEmpty();
    const raise = (tx: Transaction) =>
      statement(tx, `DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '${state}'; END $$`);
    let runs = 0;
    await opened.database.transact(async (tx) => {
      await addOwner(tx, `once-${runs}`);
      if (++runs < 3) await raise(tx);
    });
    expect(await opened.sql("SELECT name FROM owner")).toEqual([{ name: "once-2" }]);
    let always = 0;
    const error = await errorOf(
      opened.database.transact(async (tx) => {
        always += 1;
        await raise(tx);
      }),
    );
    expect(error).toMatchObject({ code: "unavailable", facts: { retryAfter: 1 } });
    expect(always).toBe(5);
  });

  test("that waits too long for another is refused with 503, and leaves the others alone", async () => {
    await using opened = await openEmpty();
    const another = await opened.openAnother();
    const [id = 0, free = 0] = await opened.channels("kept", "free");
    const open = held(opened.database, id);
    await open.began;
    const started = performance.now();
    const error = await errorOf(another.transact(change(id), { channels: [id] }));
    expect(error).toMatchObject({ code: "unavailable" });
    expect(performance.now() - started).toBeLessThan(9000);
    expect(await another.transact(change(free), { channels: [free] })).toBe(1);
    open.release();
    await open.done;
    expect(await another.transact(change(id), { channels: [id] })).toBe(2);
  });

  test("that only locks a channel or a content keeps other servers from it until its end", async () => {
    await using opened = await openEmpty();
    const another = await opened.openAnother();
    const [id = 0] = await opened.channels("locked");
    const locks = [(tx: Transaction) => lockChannel(tx, id), (tx: Transaction) => lockBlob(tx, "ab".repeat(32))];
    for (const lock of locks) {
      const order: string[] = [];
      const unit = (name: string, ms: number) => async (tx: Transaction) => {
        await lock(tx);
        order.push(`${name} began`);
        await Bun.sleep(ms);
        order.push(`${name} ends`);
      };
      const first = opened.database.transact(unit("first", 150), { isUnseen: true });
      await Bun.sleep(50);
      await Promise.all([first, another.transact(unit("second", 0), { isUnseen: true })]);
      expect(order).toEqual(["first began", "first ends", "second began", "second ends"]);
    }
  });
});

describe("the version of a database", () => {
  test("changes with every commit of any server, but not with unseen ones", async () => {
    await using opened = await openEmpty();
    const another = await opened.openAnother();
    const versions = [await opened.database.version()];
    for (const database of [another, opened.database, another]) {
      await database.transact((tx) => addOwner(tx, `o${versions.length}`));
      versions.push(await opened.database.version());
    }
    expect(new Set(versions).size).toBe(4);
    await another.transact((tx) => addOwner(tx, "unseen"), { isUnseen: true });
    expect(await opened.database.version()).toBe(versions.at(-1) ?? "");
    await errorOf(another.transact(async () => Promise.reject(new Error("no"))));
    expect(await opened.database.version()).toBe(versions.at(-1) ?? "");
  });

  test("is looked up after it was asked for, however many ask at once", async () => {
    await using opened = await openEmpty();
    const another = await opened.openAnother();
    const over = new AbortController();
    const others = (async () => {
      while (!over.signal.aborted) await Promise.all([opened.database.version(), Bun.sleep(0)]);
    })();
    for (let round = 0; round < 100; round++) {
      const before = await opened.database.version();
      await another.transact((tx) => addOwner(tx, `r${round}`));
      expect(await opened.database.version()).not.toBe(before);
    }
    over.abort();
    await others;
  });

  test("does not repeat when the server is set back to an earlier state and as much is committed again", async () => {
    await using opened = await openEmpty();
    const { postgres, url, database } = opened;
    await database.transact((tx) => addOwner(tx, "kept"));
    const before = await database.version();
    // What a restored backup does: the same counts, other rows.
    await opened.sql("UPDATE owner SET name = 'other'");
    await postgres.terminateConnections(url);
    expect(await database.version()).not.toBe(before);
  });
});

test("ids are not used again after their row was deleted", async () => {
  await using opened = await openEmpty();
  const first = await opened.database.transact((tx) => addOwner(tx, "first"));
  await opened.sql("DELETE FROM owner");
  const second = await opened.database.transact((tx) => addOwner(tx, "second"));
  expect(second.id).toBeGreaterThan(first.id);
});
