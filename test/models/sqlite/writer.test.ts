import { Database as Connection } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError, unavailable } from "../../../src/errors.ts";
import { createWriter, type Writer } from "../../../src/models/sqlite/writer.ts";
import { errorOf } from "../../modules/error-of.ts";
import { bytesOf, jsonOf } from "../../support/answers.ts";
import { startTestApp, type Actor, type TestApp } from "../../support/app.ts";
import { outcomes, type ModelState, type Step, type StepAnswer } from "../../support/channel-model.ts";
import { buildPackage } from "../../support/package-builder.ts";
import { problemsOf } from "../../support/problems.ts";

/** Two files, each in two versions of its bytes. */
const VARIANTS = ["x", "y"].flatMap((name) =>
  ["first", "second"].map((text) => buildPackage({ name, version: "1", files: { "share/variant": text } })),
);

describe("write units", () => {
  let folder: string;
  let connection: Connection;
  let writer: Writer<Connection>;
  let passed: string[];
  let fault: string | undefined;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "condarium-writer-"));
    connection = new Connection(join(folder, "test.db"), { create: true });
    connection.run("PRAGMA journal_mode = WAL");
    connection.run("CREATE TABLE item (name TEXT UNIQUE, content BLOB)");
    passed = [];
    fault = undefined;
    const failpoint = (name: string): void => {
      passed.push(name);
      if (name === fault) throw new Error(`failpoint ${name}`);
    };
    writer = createWriter({ connection, transactionOf: () => connection, failpoint });
  });
  afterEach(async () => {
    connection.close();
    await rm(folder, { recursive: true, force: true });
  });

  const add = (name: string, bytes = 0) =>
    writer.run(async (tx) => {
      tx.run("INSERT INTO item VALUES (?, ?)", [name, new Uint8Array(bytes)]);
      await Promise.resolve();
      return name;
    });
  const commits = (): number => passed.filter((name) => name === "p7.committed").length;

  /** A read on a foreign connection: the committed state. */
  function stored(): string[] {
    const reader = new Connection(join(folder, "test.db"), { readonly: true });
    const rows = reader.query<{ name: string }, []>("SELECT name FROM item ORDER BY rowid").all();
    reader.close();
    return rows.map(({ name }) => name);
  }

  test("commit and acknowledge nothing once the database file is gone, also when it disappears during the commit", async () => {
    let looks = 0;
    let goneFrom = 1;
    const requireFiles = (): void => {
      looks += 1;
      if (looks >= goneFrom) throw unavailable("the file is gone", 1);
    };
    const guarded = createWriter({ connection, transactionOf: () => connection, requireFiles });
    const put = (name: string) => guarded.run(async (tx) => void tx.run("INSERT INTO item VALUES (?, NULL)", [name]));
    expect(await errorOf(put("before"))).toMatchObject({ code: "unavailable", message: "the file is gone" });
    expect(stored()).toEqual([]);
    goneFrom = looks + 2;
    expect(await errorOf(put("while"))).toMatchObject({ code: "unavailable", message: "the file is gone" });
    goneFrom = Number.POSITIVE_INFINITY;
    await put("after");
    expect(stored()).toEqual(["while", "after"]);
  });

  test("wait for the turn of their process, and end it after their commit, also a failed one", async () => {
    const events: string[] = [];
    const turn = async (): Promise<() => void> => {
      await Bun.sleep(20);
      events.push(`turn, ${stored().length} stored`);
      return () => events.push(`end, ${stored().length} stored`);
    };
    const failpoint = (name: string): void => {
      if (name === fault) throw new Error(`failpoint ${name}`);
    };
    const polite = createWriter({ connection, transactionOf: () => connection, turn, failpoint });
    await polite.run(async (tx) => void tx.run("INSERT INTO item VALUES ('a', NULL)"));
    fault = "p6.in_tx";
    await errorOf(polite.run(async (tx) => void tx.run("INSERT INTO item VALUES ('b', NULL)")));
    expect(events).toEqual(["turn, 0 stored", "end, 1 stored", "turn, 1 stored", "end, 1 stored"]);
  });

  test("commit without a turn that does not come within five seconds, and end it when it comes", async () => {
    const { promise, resolve } = Promise.withResolvers<() => void>();
    let ended = 0;
    const ignored = createWriter({ connection, transactionOf: () => connection, turn: () => promise });
    const started = performance.now();
    await ignored.run(async (tx) => void tx.run("INSERT INTO item VALUES ('late', NULL)"));
    expect(performance.now() - started).toBeWithin(4900, 8000);
    expect(stored()).toEqual(["late"]);
    resolve(() => (ended += 1));
    await Bun.sleep(1);
    expect(ended).toBe(1);
  });

  test("that wait together share a commit, in order of arrival", async () => {
    const names = Array.from({ length: 130 }, (_, at) => `n${at}`);
    expect(await Promise.all(names.map((name) => add(name)))).toEqual(names);
    expect(stored()).toEqual(names);
    // 64 at a time; the first can be alone, because no other waits yet.
    expect(commits()).toBeWithin(3, 5);
  });

  test("never overlap, and each sees the changes of those before it", async () => {
    let inside = 0;
    const counts = await Promise.all(
      Array.from({ length: 20 }, (_, at) =>
        writer.run(async (tx) => {
          inside += 1;
          expect(inside).toBe(1);
          tx.run("INSERT INTO item VALUES (?, NULL)", [`n${at}`]);
          await Bun.sleep(at % 3);
          inside -= 1;
          return tx.query<{ n: number }, []>("SELECT count(*) AS n FROM item").get()?.n;
        }),
      ),
    );
    expect(counts).toEqual(Array.from({ length: 20 }, (_, at) => at + 1));
  });

  test("that fail do not affect their neighbors", async () => {
    const failing = writer.run(async (tx) => {
      tx.run("INSERT INTO item VALUES ('half', NULL)");
      await Bun.sleep(1);
      throw new AppError("not-found", "on purpose");
    });
    const outcome = await Promise.allSettled([add("a"), failing, add("b"), add("a"), add("c")]);
    expect(outcome.map(({ status }) => status)).toEqual([
      "fulfilled",
      "rejected",
      "fulfilled",
      "rejected",
      "fulfilled",
    ]);
    expect(outcome[1]).toMatchObject({ reason: { code: "not-found" } });
    expect(outcome[3]).toMatchObject({ reason: { code: "conflict" } });
    expect(stored()).toEqual(["a", "b", "c"]);
  });

  test("are notified only after their commit is durable", async () => {
    const done = add("a").then(() => passed.push("notified"));
    await done;
    expect(passed).toEqual(["p6.in_tx", "p7.committed", "notified"]);
  });

  test("all fail when their commit fails, leave nothing, and the next ones work", async () => {
    fault = "p6.in_tx";
    const failed = await Promise.allSettled([add("a"), add("b"), add("c")]);
    expect(failed.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    expect(stored()).toEqual([]);
    fault = undefined;
    expect(await Promise.all([add("b"), add("d")])).toEqual(["b", "d"]);
    expect(stored()).toEqual(["b", "d"]);
  });

  test("that do not fit on a full disk are reported as such, and those that fit continue", async () => {
    connection.run("PRAGMA max_page_count = 40");
    const outcome = await Promise.allSettled([add("a", 1000), add("big", 500_000), add("b", 1000)]);
    expect(outcome[1]).toMatchObject({ status: "rejected", reason: { name: "AppError", code: "no-space" } });
    const kept = outcome.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    expect(stored()).toEqual(kept);
    expect(await add("c", 1000)).toBe("c");
    expect(stored()).toEqual([...kept, "c"]);
  });

  test("are refused past ten thousand waiting, and none of those before", async () => {
    const [begun, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const first = writer.run(async () => {
      begun.resolve();
      await held.promise;
    });
    await begun.promise;
    let ran = 0;
    const waiting = Array.from({ length: 10_000 }, () => writer.run(async () => void (ran += 1)));
    expect(await errorOf(writer.run(() => Promise.resolve()))).toMatchObject({ code: "unavailable" });
    held.resolve();
    await Promise.all([first, ...waiting]);
    expect(ran).toBe(10_000);
  });
});

describe("concurrent changes", () => {
  test("end as some serial order of them would, and documents hold exactly the downloadable files", async () => {
    const server = await startTestApp();
    const alice = await server.addUser("alice");
    let round = 0;
    const step = fc.oneof(
      fc.record({ kind: fc.constant("publish" as const), channel: fc.nat(1), variant: fc.nat(3) }),
      fc.record({ kind: fc.constant("delete" as const), channel: fc.nat(1), variant: fc.nat(3) }),
      fc.record({ kind: fc.constant("show" as const), channel: fc.nat(1), isPublic: fc.boolean() }),
    );
    type Drawn = typeof step extends fc.Arbitrary<infer T> ? T : never;
    const named = (drawn: Drawn): Step => {
      const channel = `r${round}-${drawn.channel}`;
      if (drawn.kind === "show") return { kind: "show", channel, isPublic: drawn.isPublic };
      const { fileName: file, sha256 } = VARIANTS[drawn.variant] ?? { fileName: "", sha256: "" };
      return drawn.kind === "publish" ? { kind: "publish", channel, file, sha256 } : { kind: "delete", channel, file };
    };
    const batches = fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 12 });
    try {
      await fc.assert(
        fc.asyncProperty(batches, async (drawn) => {
          round += 1;
          let states: readonly ModelState[] = [{}];
          for (const batch of drawn) {
            const steps = batch.map(named);
            const answers = await Promise.all(steps.map((one) => make(server, alice, one)));
            const possible = states.flatMap((state) => outcomes(state, steps, answers));
            const seen = await look(server, alice, [`r${round}-0`, `r${round}-1`]);
            states = possible.filter((state) => Bun.deepEquals(seen, state, true));
            if (states.length === 0) throw new Error(JSON.stringify({ steps, answers, seen, possible }, null, 1));
            states = states.slice(0, 1);
          }
        }),
        { numRuns: 25 },
      );
      expect(await problemsOf(server, "full")).toEqual([]);
    } finally {
      await server.close();
    }
  });

  test("create together what they need: a channel, a package, a version, a blob", async () => {
    const server = await startTestApp();
    const alice = await server.addUser("alice");
    try {
      const builds = Array.from({ length: 12 }, (_, at) =>
        buildPackage({ name: "new", version: "1", build: `b_${at}` }),
      );
      const put = (channel: string, at: number) =>
        alice.put(`/api/packages/alice/conda/${channel}/${builds[at]?.fileName}`, builds[at]?.bytes ?? null);
      const first = await Promise.all(builds.map((_, at) => put("first", at)));
      expect(first.map(({ status }) => status)).toEqual(builds.map(() => 201));
      // The same bytes into many channels concurrently, while they are deleted from the first.
      const moving = builds.flatMap((built, at) => [
        put(`to-${at % 3}`, at),
        alice.delete(`/alice/first/noarch/${built.fileName}`),
      ]);
      expect(new Set((await Promise.all(moving)).map(({ status }) => status))).toEqual(new Set([201, 204]));
      for (const [at, built] of builds.entries()) {
        const file = await alice.get(`/alice/to-${at % 3}/noarch/${built.fileName}`);
        expect(await bytesOf(file)).toEqual(Buffer.from(built.bytes));
      }
    } finally {
      await server.close();
    }
  });
});

async function make(server: TestApp, alice: Actor, step: Step): Promise<StepAnswer> {
  switch (step.kind) {
    case "publish": {
      const bytes = VARIANTS.find(({ sha256 }) => sha256 === step.sha256)?.bytes ?? null;
      const answer = await alice.put(`/api/packages/alice/conda/${step.channel}/${step.file}`, bytes);
      const { identical } = await jsonOf<{ identical?: boolean }>(answer);
      return identical === undefined ? String(answer.status) : `${answer.status} ${identical}`;
    }
    case "delete":
      return String((await alice.delete(`/alice/${step.channel}/noarch/${step.file}`)).status);
    case "show": {
      const change = { visibility: step.isPublic ? "public" : "private" } as const;
      const name = { owner: "alice", channel: step.channel };
      return await server.manage.channels.change(name, change).then(
        () => "200",
        (error: unknown) => (error instanceof AppError && error.code === "not-found" ? "404" : String(error)),
      );
    }
  }
}

/** Everything that users can see of the channels, checked for consistency: every document, and every file it names. */
async function look(server: TestApp, alice: Actor, channels: readonly string[]): Promise<ModelState> {
  const state: Record<string, { isPublic: boolean; files: Record<string, string> }> = {};
  for (const channel of channels) {
    const root = `/alice/${channel}/noarch`;
    const answer = await alice.get(`${root}/repodata.json`);
    const anonymous = await server.anonymous.get(`${root}/repodata.json`);
    expect([200, 401]).toContain(anonymous.status);
    if (answer.status === 403) continue;
    const repodata = await jsonOf<{ "packages.conda": Record<string, { sha256: string }> }>(answer);
    if (anonymous.status === 200) expect(await jsonOf<typeof repodata>(anonymous)).toEqual(repodata);
    const packed = Bun.zstdDecompressSync(await bytesOf(await alice.get(`${root}/repodata.json.zst`)));
    expect(JSON.parse(packed.toString())).toEqual(repodata);
    const files = Object.fromEntries(
      Object.entries(repodata["packages.conda"]).map(([name, { sha256 }]) => [name, sha256]),
    );
    for (const name of ["x-1-0.conda", "y-1-0.conda"]) {
      const file = await alice.get(`${root}/${name}`);
      expect(file.status).toBe(files[name] === undefined ? 404 : 200);
      const bytes = await file.arrayBuffer();
      if (files[name] !== undefined) {
        expect(new Bun.CryptoHasher("sha256").update(bytes).digest("hex")).toBe(files[name]);
      }
    }
    state[channel] = { isPublic: anonymous.status === 200, files };
  }
  return state;
}
