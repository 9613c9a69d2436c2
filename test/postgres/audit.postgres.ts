// The order of the audit trail and the completeness of a quarantine, while transactions of PostgreSQL commit in any order.

import { SQL } from "bun";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { AuditEntry, AuditPage } from "../../src/services/audit-trail.ts";
import { COMMAND_LINE } from "../../src/services/actor.ts";
import { apiOf } from "../support/api.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { enginesOf } from "../support/engines.ts";
import { buildPackage } from "../support/package-builder.ts";
import { statementsOf, type Statements } from "../support/statements.ts";

setDefaultTimeout(60_000);

let server: TestApp;
let statements: Statements;
/** Another node's connection. */
let other: SQL;

beforeAll(async () => {
  server = await startTestApp();
  statements = await statementsOf(server);
  const { settings } = await enginesOf(server.folder);
  other = new SQL(settings.database ?? "", { max: 1 });
  await server.addUser("boss", { admin: true });
  for (const name of ["user", "hidden"]) await server.addUser(name);
});
afterAll(async () => {
  await other.close();
  await server.close();
});

const INSERT =
  "INSERT INTO audit_event (at, actor, action, target, subject) VALUES (1, 'other node', 'publish', 'x/y', 'y')";
const trail = (since: string) => apiOf(server, "boss")("GET", `/audit?since=${since}`);

async function lastCursor(): Promise<string> {
  let since = "";
  for (;;) {
    const { items, next } = (await apiOf(server, "boss")("GET", `/audit${since}`)).json as AuditPage;
    if (next === null) return items.at(-1)?.cursor ?? "";
    since = `?since=${next}`;
  }
}

async function actionsSince(cursor: string): Promise<string[]> {
  const { json, status } = await trail(cursor);
  expect(status).toBe(200);
  return (json as AuditPage).items.map(({ actor, action }) => `${actor} ${action}`);
}

test("an event waits for an earlier one whose transaction has not ended, and comes behind it", async () => {
  const cursor = await lastCursor();
  await other.unsafe("BEGIN");
  await other.unsafe(INSERT);
  await server.manage.users.setHidden("hidden", true);
  const reading = actionsSince(cursor);
  await Bun.sleep(300);
  await other.unsafe("COMMIT");
  expect(await reading).toEqual(["other node publish", "command line user.hide"]);
});

test("an event does not wait for one that is rolled back, or for transactions without events", async () => {
  const cursor = await lastCursor();
  await other.unsafe("BEGIN");
  await other.unsafe("SAVEPOINT s");
  await other.unsafe(INSERT);
  await other.unsafe("ROLLBACK TO SAVEPOINT s");
  await other.unsafe("UPDATE channel SET description = 'busy'");
  await other.unsafe("SELECT count(*) FROM audit_event");
  await server.manage.users.setHidden("hidden", false);
  const started = performance.now();
  expect(await actionsSince(cursor)).toEqual(["command line user.unhide"]);
  expect(performance.now() - started).toBeLessThan(1500);
  await other.unsafe("ROLLBACK");
});

test("a reader is told to retry while a transaction does not end, and then misses nothing", async () => {
  const cursor = await lastCursor();
  await other.unsafe("BEGIN");
  await other.unsafe(INSERT);
  await server.manage.users.setHidden("hidden", true);
  const { status, headers } = await trail(cursor);
  expect([status, headers.get("retry-after")]).toEqual([503, "2"]);
  await other.unsafe("COMMIT");
  expect(await actionsSince(cursor)).toEqual(["other node publish", "command line user.hide"]);
});

test("a follower gets every event once, in order, while eight writers commit in a random order", async () => {
  await statements.all(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_sleep(random() * 0.03); RETURN NEW; END $$;
    CREATE TRIGGER zz_slow AFTER INSERT ON audit_event FOR EACH ROW EXECUTE FUNCTION slow()`);
  const channels = Array.from({ length: 8 }, (_, at) => `c${at}`);
  for (const channel of channels) await server.manage.channels.create({ owner: "user", channel }, {});
  const first = await lastCursor();
  let isDone = false;
  const writing = Promise.all(
    channels.map(async (channel) => {
      for (let at = 0; at < 15; at += 1) {
        const { fileName, bytes } = buildPackage({ name: `pkg-${channel}-${at}`, version: "1" });
        const put = server.as("user").put(`/api/packages/user/conda/${channel}/${fileName}`, bytes);
        expect((await put).status).toBe(201);
      }
    }),
  ).finally(() => (isDone = true));
  const followed: AuditEntry[] = [];
  for (let last = false; ; last = isDone) {
    const wasDone = isDone;
    const { status, json } = await trail(followed.at(-1)?.cursor ?? first);
    expect(status).toBe(200);
    followed.push(...(json as AuditPage).items);
    if (last && wasDone && (json as AuditPage).items.length === 0) break;
  }
  await writing;
  await statements.all("DROP TRIGGER zz_slow ON audit_event; DROP FUNCTION slow");
  const expected = await statements.all(
    "SELECT target FROM audit_event WHERE action = 'publish' AND target LIKE 'user/c%' ORDER BY id",
  );
  expect(expected.length).toBe(120);
  expect(followed.map(({ target }) => target)).toEqual(expected.map(({ target }) => String(target)));
});

const COPIED = buildPackage({ name: "copied", version: "1" });
const path = (channel: string) => `/user/${channel}/noarch/${COPIED.fileName}`;
const statusIn = async (channel: string) => (await server.as("user").get(path(channel))).status;
const publish = async (channel: string) =>
  (await server.as("user").put(`/api/packages/user/conda/${channel}/${COPIED.fileName}`, COPIED.bytes)).status;
const quarantine = () =>
  server.app.quarantines.quarantineAll(COMMAND_LINE, { sha256: COPIED.sha256 }, { reason: "bad", dryRun: false });

describe("a quarantine", () => {
  beforeEach(async () => {
    await server.manage.channels.create({ owner: "user", channel: "one" }, {}).catch(() => undefined);
    await server.manage.channels.create({ owner: "user", channel: "two" }, {}).catch(() => undefined);
  });
  afterEach(async () => {
    await statements.all(
      "DROP TRIGGER IF EXISTS zz_slow ON package_file; DROP TRIGGER IF EXISTS zz_slow ON audit_event",
    );
    await statements.all("DROP FUNCTION IF EXISTS slow");
    await server.app.quarantines.releaseAll(COMMAND_LINE, { sha256: COPIED.sha256 }, { dryRun: false });
    for (const channel of ["one", "two"]) await server.as("user").delete(path(channel));
  });

  async function slow(table: string, condition: string): Promise<void> {
    await statements.all(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN IF ${condition} THEN PERFORM pg_sleep(1); END IF; RETURN NEW; END $$;
    CREATE TRIGGER zz_slow AFTER INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION slow()`);
  }

  test("also takes the copy that another channel is about to commit", async () => {
    expect(await publish("one")).toBe(201);
    await slow("package_file", "NEW.channel_id = (SELECT id FROM channel WHERE name = 'two')");
    const publishing = publish("two");
    await Bun.sleep(500);
    const changed = await quarantine();
    expect(await publishing).toBe(201);
    expect(changed.map(({ channel, files }) => [channel, files])).toEqual([
      ["user/one", 1],
      ["user/two", 1],
    ]);
    expect([await statusIn("one"), await statusIn("two")]).toEqual([403, 403]);
  });

  test("that is about to commit is waited for by a copy to another channel, which is then refused", async () => {
    expect(await publish("one")).toBe(201);
    await slow("audit_event", "NEW.action = 'quarantine'");
    const quarantining = quarantine();
    await Bun.sleep(500);
    expect(await publish("two")).toBe(422);
    await quarantining;
    expect([await statusIn("one"), await statusIn("two")]).toEqual([403, 404]);
  });
});
