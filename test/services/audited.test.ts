// Every change is audited, in its own transaction: each method that writes fails, and changes nothing, when one of its audit
// rows cannot be written. A new method, action or transaction fails here until it is listed.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { AUDIT_ACTIONS } from "../../src/services/audit.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import type { AuditedCase, Stage } from "../support/audited/case.ts";
import { CHANNEL_CASES, LAST_CHANNEL_CASES } from "../support/audited/channels.ts";
import { ORGANIZATION_CASES } from "../support/audited/organizations.ts";
import { LAST_PEOPLE_CASES, PEOPLE_CASES } from "../support/audited/people.ts";
import { peopleOf, type People } from "../support/people.ts";
import { statementsOf, type Statements } from "../support/statements.ts";

setDefaultTimeout(60_000);

const CASES = [...CHANNEL_CASES, ...PEOPLE_CASES, ...ORGANIZATION_CASES, ...LAST_PEOPLE_CASES, ...LAST_CHANNEL_CASES];
/** Of the requests of a test app. */
const ADDRESS = "192.0.2.1";

let server: TestApp;
let people: People;
let statements: Statements;
/** Those of all owners that there ever were, by each of their names. */
const ownerIds = new Map<string, number>();

beforeAll(async () => {
  server = await startTestApp();
  people = await peopleOf(server);
  statements = await statementsOf(server);
  await server.addUser("owner");
  await server.addUser("other", { admin: true });
});
afterAll(async () => {
  await people.close();
  await server.close();
});

/** Methods that change nothing, or nothing that someone decides: each says why it has no case. */
const NO_CASE: Readonly<Record<string, string>> = {
  "channels.contents": "reads",
  "channels.ensure": "part of a publish or a grant, which are audited",
  "channels.list": "reads",
  "channels.page": "reads",
  "channels.show": "reads",
  "grants.list": "reads",
  "leakedTokens.identify": "reads",
  "names.list": "reads",
  "organizations.list": "reads",
  "organizations.listOf": "reads",
  "organizations.members": "reads",
  "organizations.page": "reads",
  "organizations.show": "reads",
  "profiles.known": "reads",
  "profiles.list": "reads",
  "profiles.own": "reads",
  "profiles.show": "reads",
  "quarantines.list": "reads",
  "robots.list": "reads",
  "auditTrail.page": "reads",
  "auditTrail.pages": "reads",
  "teams.list": "reads",
  "teams.members": "reads",
  "teams.show": "reads",
  "tokens.list": "reads",
  "transfers.list": "reads",
  "transfers.show": "reads",
  "twoFactor.begin": "a secret that counts for nothing until it is confirmed, which is audited",
  "users.isEmpty": "reads",
  "users.list": "reads",
  "versions.files": "reads",
  "versions.list": "reads",
  "versions.show": "reads",
  backup: "reads",
  gc: "frees what nothing refers to",
  reindex: "derived data",
  verify: "reads",
};

async function stage(): Promise<Stage> {
  const admin = await people.user("other");
  if (admin.kind !== "request") throw new Error("an administrator acts by requests here");
  return { server, people, actor: { ...admin, address: ADDRESS, requestId: Bun.randomUUIDv7() } };
}

/** All that changes write, without the trail itself, and what the query finds. */
async function contents(also: string | undefined): Promise<string> {
  const dump = await statements.dump();
  const found = also === undefined ? [] : await statements.all(also);
  return `${dump.slice(0, dump.lastIndexOf("\naudit_event: "))}\n${JSON.stringify(found)}`;
}

async function rowsAfter(id: number): Promise<Record<string, unknown>[]> {
  const rows = await statements.all(`SELECT * FROM audit_event WHERE id > ${id} AND refusal IS NULL ORDER BY id`);
  return rows.map(({ action, target, actor, owner_id: owner, address, request_id: request, outcome }) => ({
    line: `${String(action)} ${String(target)}`,
    actor,
    owner: Number(owner),
    address,
    request,
    outcome,
  }));
}

async function noteOwners(): Promise<void> {
  for (const { id, name } of await statements.all("SELECT id, name FROM owner")) ownerIds.set(String(name), Number(id));
}

/** The owner in a target such as `alice/main`; of a robot's tokens, the organization. */
function ownerOf(line: string): number | undefined {
  const target = line.slice(line.indexOf(" ") + 1);
  return ownerIds.get(target.split("/", 1)[0] ?? "");
}

/** Makes the change while this audit row cannot be written; returns what is stored then. */
async function withoutRow({ run, also }: AuditedCase, line: string): Promise<string> {
  const [action, target] = line.split(" ");
  const allow = await statements.refuseAudit(`NEW.action = '${action}' AND NEW.target = '${target}'`);
  try {
    const outcome = await run(await stage()).then(
      () => "done",
      () => "failed",
    );
    expect([line, outcome]).toEqual([line, "failed"]);
    return await contents(also);
  } finally {
    await allow();
  }
}

describe("a change without its audit rows is not made", () => {
  for (const [name, one] of CASES) {
    const { rows, by = "other", prepare, run, also, inSteps = false } = one;
    test(`by ${name}, which is ${rows.join(" and ")} in the trail`, async () => {
      await prepare?.(await stage());
      await noteOwners();
      const before = await contents(also);
      const newest = await statements.count("SELECT coalesce(max(id), 0) FROM audit_event");
      for (const [at, line] of rows.entries()) {
        // Of several transactions, those before this row are made, once.
        const stored = inSteps && at > 0 ? await withoutRow(one, line) : before;
        expect(await withoutRow(one, line)).toBe(stored);
        expect((await rowsAfter(newest)).map((row) => row["line"])).toEqual(inSteps ? rows.slice(0, at) : []);
      }
      const last = await stage();
      const outcome = await run(last);
      await noteOwners();
      expect(await contents(also)).not.toBe(before);
      const id = outcome instanceof Response ? outcome.headers.get("x-request-id") : last.actor.requestId;
      const request = inSteps ? expect.any(String) : id;
      const from = by === "command line" ? { address: null, request: null } : { address: ADDRESS, request };
      expect(await rowsAfter(newest)).toEqual(
        rows.map((line) => ({ line, actor: by, owner: ownerOf(line), outcome: "done", ...from })),
      );
    });
  }
});

test("every method of every service has a case, or a reason to have none", () => {
  const {
    handle: _,
    routes: _routes,
    apiRoutes: _apiRoutes,
    metrics: _metrics,
    close: _close,
    ...services
  } = server.app;
  const methods = Object.entries(services).flatMap(([service, part]) =>
    typeof part === "function" ? [service] : Object.keys(part).map((method) => `${service}.${method}`),
  );
  const covered = CASES.map(([name]) => name.split(/[ ,]/, 1)[0] ?? "").filter((name) => name.includes("."));
  expect(methods.sort()).toEqual([...new Set(covered), ...Object.keys(NO_CASE)].sort());
});

test("every action of the trail has a case", () => {
  const covered = new Set(CASES.flatMap(([, { rows }]) => rows.map((row) => row.split(" ", 1)[0])));
  expect(AUDIT_ACTIONS.filter((action) => !covered.has(action))).toEqual([]);
});

/** The number of transactions by file below `src/services/`: a new one is either audited and has a case, or says why not. */
const TRANSACTIONS: Readonly<Record<string, readonly [number, string]>> = {
  "channel-removal.ts": [1, "audited"],
  "channels.ts": [2, "audited"],
  "grants.ts": [2, "audited"],
  "organizations.ts": [3, "audited"],
  "owner-names.ts": [1, "audited"],
  "publishing.ts": [3, "audited; the others note, then delete, a blob that no publish has stored"],
  "quarantine.ts": [2, "audited"],
  "removing.ts": [1, "audited"],
  "robots.ts": [1, "audited"],
  "teams.ts": [3, "audited"],
  "tokens.ts": [4, "audited"],
  "transfers.ts": [4, "audited"],
  "two-factor.ts": [4, "audited; one stores a secret that counts for nothing until it is confirmed"],
  "user-removal.ts": [2, "audited; the other only reads the channels, which `channels.remove` deletes"],
  "users.ts": [2, "audited"],
  "versions.ts": [1, "audited"],
  "login-codes.ts": [2, "audited for a recovery code; the other notes that a code of an app has been used"],
  "logins.ts": [1, "stores the same password with newer parameters"],
  "nodes.ts": [2, "leases"],
  "refusals.ts": [1, "writes the trail itself"],
  "throttle.ts": [2, "counts failed logins, and notes from which networks others came"],
  "token-uses.ts": [1, "notes when tokens were last used"],
  "index/repair/reindex.ts": [1, "derived data"],
  "storage/blobs-lease.ts": [3, "leases"],
  "storage/collect-audit.ts": [1, "the retention of the trail itself"],
  "storage/collect-blobs.ts": [3, "frees what nothing refers to, and notes it for publishes for a day"],
  "storage/collect-shards.ts": [1, "derived data"],
  "storage/collector-lease.ts": [3, "leases"],
  "storage/gc.ts": [1, "leases"],
  "storage/store-identity.ts": [1, "the identity of the storage"],
};

test("every transaction is known to be audited, or has a reason not to be", async () => {
  const root = join(import.meta.dir, "../../src");
  const found: Record<string, number> = {};
  for await (const path of new Bun.Glob("**/*.ts").scan(root)) {
    const calls = (await Bun.file(join(root, path)).text()).match(/\bdatabase\.transact\b/g)?.length ?? 0;
    if (calls > 0) found[path] = calls;
  }
  const known = Object.entries(TRANSACTIONS).map(([path, [calls]]) => [`services/${path}`, calls]);
  expect(found).toEqual(Object.fromEntries(known) as Record<string, number>);
});
