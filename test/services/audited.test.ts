// Every change is audited, in its own transaction: each method that writes fails, and changes nothing, when its audit row
// cannot be written. A new method, action or transaction fails here until it is listed.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { AUDIT_ACTIONS, type AuditAction } from "../../src/services/audit.ts";
import { COMMAND_LINE } from "../../src/services/actor.ts";
import { PASSWORD, startTestApp, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { setState } from "../support/state.ts";
import { statementsOf, type Statements } from "../support/statements.ts";

setDefaultTimeout(60_000);

let server: TestApp;
let statements: Statements;

beforeAll(async () => {
  server = await startTestApp();
  statements = await statementsOf(server);
  await server.addUser("owner");
  await server.addUser("other", { admin: true });
});
afterAll(() => server.close());

const MAIN = { owner: "owner", channel: "main" };
const built = buildPackage({ name: "pkg", version: "1" });
const second = buildPackage({ name: "pkg", version: "2" });
const PATH = `owner/main/noarch/${built.fileName}`;
const FILE = { channel: MAIN, section: "noarch", fileName: built.fileName };
const BYTES = { sha256: built.sha256 };

type Case = { readonly actions: readonly AuditAction[]; readonly run: () => Promise<unknown> };

const actor = COMMAND_LINE;
/** In this order: later ones change what earlier ones have made. `service.method`, or what a request does. */
const CASES: readonly (readonly [string, Case])[] = [
  ["channels.create", { actions: ["channel.create"], run: () => server.app.channels.create(actor, MAIN, {}) }],
  [
    "channels.change",
    {
      actions: ["channel.settings"],
      run: () => server.app.channels.change(actor, MAIN, { description: "a description" }),
    },
  ],
  [
    "channels.change of an owner",
    {
      actions: ["owner.settings"],
      run: () => server.app.channels.change(actor, { owner: "owner", channel: undefined }, { visibility: "internal" }),
    },
  ],
  ["publish", { actions: ["publish"], run: () => publish("main", built) }],
  ["publish to a new channel", { actions: ["channel.create", "publish"], run: () => publish("new", second) }],
  ["yank", { actions: ["yank"], run: () => setState(server, PATH, "yanked") }],
  ["unyank", { actions: ["unyank"], run: () => setState(server, PATH, "active") }],
  [
    "quarantines.quarantine",
    { actions: ["quarantine"], run: () => server.app.quarantines.quarantine(actor, FILE, "a reason") },
  ],
  ["quarantines.release", { actions: ["release"], run: () => server.app.quarantines.release(actor, FILE) }],
  [
    "quarantines.quarantineAll",
    {
      actions: ["quarantine"],
      run: () => server.app.quarantines.quarantineAll(actor, BYTES, { reason: "a reason", dryRun: false }),
    },
  ],
  [
    "quarantines.releaseAll",
    { actions: ["release"], run: () => server.app.quarantines.releaseAll(actor, BYTES, { dryRun: false }) },
  ],
  ["delete", { actions: ["delete"], run: () => request(server.as("owner").delete(`/${PATH}`)) }],
  ["grants.set", { actions: ["grant.set"], run: () => server.app.grants.set(actor, MAIN, "other", "reader") }],
  ["grants.revoke", { actions: ["grant.revoke"], run: () => server.app.grants.revoke(actor, MAIN, "other") }],
  [
    "users.create",
    {
      actions: ["user.create"],
      run: () => server.app.users.create(actor, { name: "third", password: PASSWORD, isAdmin: false }),
    },
  ],
  ["tokens.create", { actions: ["token.create"], run: () => newToken(server.manage, { user: "third", name: "t" }) }],
  ["tokens.revoke", { actions: ["token.revoke"], run: () => server.app.tokens.revoke(actor, "third", "t") }],
  [
    "users.setPassword",
    { actions: ["user.password"], run: () => server.app.users.setPassword(actor, "third", `${PASSWORD}2`) },
  ],
  ["users.setDisabled", { actions: ["user.disable"], run: () => server.app.users.setDisabled(actor, "third", true) }],
  [
    "users.setDisabled, back",
    { actions: ["user.enable"], run: () => server.app.users.setDisabled(actor, "third", false) },
  ],
  ["users.setHidden", { actions: ["user.hide"], run: () => server.app.users.setHidden(actor, "third", true) }],
  ["users.setHidden, back", { actions: ["user.unhide"], run: () => server.app.users.setHidden(actor, "third", false) }],
  ["users.unlock", { actions: ["user.unlock"], run: () => server.app.users.unlock(actor, "third") }],
  ["users.remove", { actions: ["user.delete"], run: () => server.app.users.remove(actor, "third") }],
  ["channels.remove", { actions: ["channel.delete"], run: () => server.app.channels.remove(actor, MAIN) }],
];

/** Methods that change nothing, or nothing that someone decides: each says why it has no case. */
const NO_CASE: Readonly<Record<string, string>> = {
  "channels.contents": "reads",
  "channels.ensure": "part of a publish or a grant, which are audited",
  "channels.list": "reads",
  "channels.show": "reads",
  "grants.list": "reads",
  "quarantines.list": "reads",
  "auditTrail.page": "reads",
  "auditTrail.pages": "reads",
  "tokens.list": "reads",
  "users.isEmpty": "reads",
  "users.list": "reads",
  backup: "reads",
  gc: "frees what nothing refers to",
  reindex: "derived data",
  verify: "reads",
};

async function publish(channel: string, { fileName, bytes }: typeof built): Promise<void> {
  await request(server.as("owner").put(`/api/packages/owner/conda/${channel}/${fileName}`, bytes));
}

async function request(response: Promise<Response>): Promise<void> {
  const { status } = await response;
  if (status >= 400) throw new Error(`the status is ${status}`);
}

/** The actions of the events with greater ids. */
async function actionsAfter(id: number): Promise<unknown[]> {
  const rows = await statements.all(`SELECT action FROM audit_event WHERE id > ${id} AND refusal IS NULL ORDER BY id`);
  return rows.map(({ action }) => action);
}

describe("a change without its audit row is not made", () => {
  for (const [name, { actions, run }] of CASES) {
    test(`by ${name}, which is ${actions.join(" and ")} in the trail`, async () => {
      const before = await statements.dump();
      const newest = await statements.count("SELECT coalesce(max(id), 0) FROM audit_event");
      const allow = await statements.refuseAudit();
      try {
        const outcome = await run().then(
          () => "done",
          () => "failed",
        );
        expect(outcome).toBe("failed");
        expect(await statements.dump()).toBe(before);
      } finally {
        await allow();
      }
      await run();
      expect(await actionsAfter(newest)).toEqual([...actions]);
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
  const covered = new Set(CASES.flatMap(([, { actions }]) => actions));
  expect(AUDIT_ACTIONS.filter((action) => !covered.has(action))).toEqual([]);
});

/** The number of transactions by file below `src/services/`: a new one is either audited and has a case, or says why not. */
const TRANSACTIONS: Readonly<Record<string, readonly [number, string]>> = {
  "channel-removal.ts": [1, "audited"],
  "channels.ts": [2, "audited"],
  "grants.ts": [2, "audited"],
  "publishing.ts": [2, "audited; the other deletes a blob that no publish has stored"],
  "quarantine.ts": [2, "audited"],
  "removing.ts": [1, "audited"],
  "tokens.ts": [2, "audited"],
  "users.ts": [2, "audited"],
  "refusals.ts": [1, "writes the trail itself"],
  "identities.ts": [1, "notes when a token was last used"],
  "logins.ts": [1, "stores the same password with newer parameters"],
  "throttle.ts": [2, "counts failed logins"],
  "index/repair/reindex.ts": [1, "derived data"],
  "storage/blobs-lease.ts": [3, "leases"],
  "storage/collect-audit.ts": [1, "the retention of the trail itself"],
  "storage/collect-blobs.ts": [1, "frees what nothing refers to"],
  "storage/collect-shards.ts": [1, "derived data"],
  "storage/collector-lease.ts": [2, "leases"],
  "storage/gc.ts": [1, "leases"],
  "storage/store-identity.ts": [1, "the identity of the storage"],
};

test("every transaction is known to be audited, or has a reason not to be", async () => {
  const root = join(import.meta.dir, "../../src");
  const found: Record<string, number> = {};
  for await (const path of new Bun.Glob("**/*.ts").scan(root)) {
    const calls = (await Bun.file(join(root, path)).text()).match(/\bdatabase\.transact\(/g)?.length ?? 0;
    if (calls > 0) found[path] = calls;
  }
  const known = Object.entries(TRANSACTIONS).map(([path, [calls]]) => [`services/${path}`, calls]);
  expect(found).toEqual(Object.fromEntries(known) as Record<string, number>);
});
