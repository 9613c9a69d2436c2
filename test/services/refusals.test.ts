// Counts of refusals: bounded in rows and in memory, shared by nodes, stored at the end, and seen by no cache.

import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { Refused } from "../../src/errors.ts";
import { createEvents } from "../../src/events.ts";
import type { Database } from "../../src/models/database.ts";
import { databaseOf, openDatabase } from "../../src/models/open-database.ts";
import { findUser } from "../../src/models/user.ts";
import { systemClock, type Clock } from "../../src/modules/clock.ts";
import { createLogger } from "../../src/modules/log.ts";
import { createMetrics } from "../../src/modules/metrics.ts";
import { ANONYMOUS, type RequestActor } from "../../src/services/actor.ts";
import { createRefusals, type Refusals } from "../../src/services/refusals.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { enginesOf } from "../support/engines.ts";
import { statementsOf, type Statements } from "../support/statements.ts";

setDefaultTimeout(60_000);

let server: TestApp;
let statements: Statements;
let database: Database;
let otherNode: Database;
let log: string[] = [];
const HOUR = 60 * 60 * 1000;
/** The first hour of a day. */
const DAY = Date.UTC(2026, 5, 1);
let now = DAY;
const clock: Clock = { ...systemClock, now: () => now };

beforeAll(async () => {
  server = await startTestApp();
  statements = await statementsOf(server);
  for (const name of ["alice", "bob"]) await server.addUser(name);
  const { settings } = await enginesOf(server.folder);
  const place = databaseOf(join(server.folder, "condarium.db"), settings.database);
  database = await openDatabase(place, { clock: systemClock, create: false });
  otherNode = await openDatabase(place, { clock: systemClock, create: false });
});
afterEach(async () => {
  await statements.all("DELETE FROM audit_event WHERE refusal IS NOT NULL");
  [now, log] = [DAY, []];
});
afterAll(async () => {
  await database.close();
  await otherNode.close();
  await server.close();
});

function refusalsOf(node = database): Refusals {
  const logger = createLogger({ level: "debug", write: (line) => void log.push(line) });
  return createRefusals({ database: node, clock, events: createEvents({ log: logger, metrics: createMetrics() }) });
}

async function actorOf(name: string, requestId = "r"): Promise<RequestActor> {
  const user = await findUser(database.read, name);
  if (!user) throw new Error(`there is no user ${name}`);
  return { kind: "request", identity: { kind: "user", user }, requestId, address: "192.0.2.7", surface: "conda" };
}

const reading = (channel: string): Refused => ({ action: "read", owner: "bob", channel });

async function rows(): Promise<unknown[][]> {
  const all = await statements.all(
    "SELECT actor, action, target, times, at FROM audit_event WHERE outcome = 'refused' ORDER BY id",
  );
  return all.map(({ actor, action, target, times, at }) => [actor, action, target, Number(times), Number(at)]);
}

test("refusals that are not stored yet are stored at the end", async () => {
  const refusals = refusalsOf();
  const alice = await actorOf("alice");
  for (const channel of ["a", "b", "a"]) refusals.note(alice, reading(channel));
  expect(await rows()).toEqual([]);
  await refusals.close();
  expect(await rows()).toEqual([
    ["alice", "read", "bob/a", 2, DAY],
    ["alice", "read", "bob/b", 1, DAY],
  ]);
});

test("a refusal of an anonymous request is not counted", async () => {
  const refusals = refusalsOf();
  refusals.note({ ...(await actorOf("alice")), identity: ANONYMOUS }, reading("a"));
  await refusals.close();
  expect(await rows()).toEqual([]);
});

test("another caller, action, target, token or hour has a row of its own", async () => {
  const refusals = refusalsOf();
  const [alice, bob] = [await actorOf("alice"), await actorOf("bob")];
  const user = alice.identity.kind === "user" ? alice.identity.user : undefined;
  if (!user) throw new Error("alice is no user");
  const token = { id: 7, name: "ci", scopes: [], channels: [], packages: [], expires: null };
  refusals.note(alice, reading("a"));
  refusals.note(bob, reading("a"));
  refusals.note(alice, { ...reading("a"), action: "publish" });
  refusals.note(alice, { action: "manage", owner: "bob" });
  refusals.note(alice, { action: "administer" });
  refusals.note({ ...alice, identity: { kind: "token", user, token } }, reading("a"));
  now = DAY + HOUR;
  refusals.note(alice, reading("a"));
  await refusals.close();
  expect(await rows()).toEqual([
    ["alice", "read", "bob/a", 1, DAY],
    ["bob", "read", "bob/a", 1, DAY],
    ["alice", "publish", "bob/a", 1, DAY],
    ["alice", "manage", "bob", 1, DAY],
    ["alice", "administer", "", 1, DAY],
    ["alice (token ci)", "read", "bob/a", 1, DAY],
    ["alice", "read", "bob/a", 1, DAY + HOUR],
  ]);
});

test("a user has at most 1,000 rows a day, the last of which counts all others; other users and days have theirs", async () => {
  const refusals = refusalsOf();
  const [alice, bob] = [await actorOf("alice"), await actorOf("bob")];
  const note = (actor: RequestActor, count: number): void => {
    for (let at = 0; at < count; at += 1) refusals.note(actor, reading(`c${at}`));
  };
  note(alice, 1200);
  note(bob, 3);
  await Bun.sleep(500);
  // The same ones again, in the same hour: their rows exist.
  note(alice, 1100);
  now = DAY + 24 * HOUR;
  note(alice, 2);
  await refusals.close();
  const found = await rows();
  const ofDay = found.filter(([actor, , , , at]) => actor === "alice" && at === DAY);
  expect(ofDay.length).toBe(1000);
  const rest = ofDay.filter(([, action]) => action !== "read");
  expect(rest).toEqual([["alice", "(other refusals of the day)", "", 1200 - 999 + (1100 - 999), DAY]]);
  const counts = ofDay.filter(([, action]) => action === "read").map(([, , , times]) => times);
  expect(new Set(counts)).toEqual(new Set([2]));
  expect(found.filter(([actor]) => actor === "bob").length).toBe(3);
  expect(found.filter(([, , , , at]) => at === DAY + 24 * HOUR).length).toBe(2);
});

test("two nodes count into one row", async () => {
  const [one, other] = [refusalsOf(), refusalsOf(otherNode)];
  const alice = await actorOf("alice");
  for (const refusals of [one, other, one]) for (let at = 0; at < 50; at += 1) refusals.note(alice, reading(`c${at}`));
  await Promise.all([one.close(), other.close()]);
  const found = await rows();
  expect(found.length).toBe(50);
  expect(new Set(found.map(([, , , times]) => times))).toEqual(new Set([3]));
});

test("two nodes keep the limit of a day together", async () => {
  const [one, other] = [refusalsOf(), refusalsOf(otherNode)];
  const alice = await actorOf("alice");
  for (let at = 0; at < 900; at += 1) one.note(alice, reading(`a${at}`));
  for (let at = 0; at < 900; at += 1) other.note(alice, reading(`b${at}`));
  await Promise.all([one.close(), other.close()]);
  const found = await rows();
  expect(found.length).toBe(1000);
  expect(found.reduce((sum, [, , , times]) => sum + Number(times), 0)).toBe(1800);
});

test("what the database does not take is kept, up to a limit, and then said to be lost", async () => {
  const refusals = refusalsOf();
  const alice = await actorOf("alice");
  const allow = await statements.refuseAudit();
  for (let at = 0; at < 5000; at += 1) refusals.note(alice, reading(`c${at}`));
  await Bun.sleep(1500);
  await allow();
  expect(await rows()).toEqual([]);
  await refusals.close();
  const stored = (await rows()).reduce((sum, [, , , times]) => sum + Number(times), 0);
  const lost = [...log.join("").matchAll(/"refusals":(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  expect([stored, stored + lost]).toEqual([2000, 5000]);
});

test("the response cache outlives them: no anonymous response shows them", async () => {
  const refusals = refusalsOf();
  const version = await database.version();
  refusals.note(await actorOf("alice"), reading("a"));
  await refusals.close();
  expect((await rows()).length).toBe(1);
  expect(await database.version()).toBe(version);
});
