// Rights that end between the first check of a quarantine and its transaction: nothing is changed then.

import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { AppError } from "../../src/errors.ts";
import type { Database } from "../../src/models/database.ts";
import { databaseOf, openDatabase } from "../../src/models/open-database.ts";
import { findUser } from "../../src/models/user.ts";
import { systemClock } from "../../src/modules/clock.ts";
import { createAccess, type Access } from "../../src/services/access.ts";
import { COMMAND_LINE, type RequestActor } from "../../src/services/actor.ts";
import { createAuditTrail } from "../../src/services/audit-trail.ts";
import { createQuarantines, type Quarantines } from "../../src/services/quarantine.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { enginesOf } from "../support/engines.ts";
import { errorOf } from "../modules/error-of.ts";
import { buildPackage } from "../support/package-builder.ts";
import { statementsOf, type Statements } from "../support/statements.ts";

setDefaultTimeout(60_000);

let server: TestApp;
let statements: Statements;
let database: Database;
let access: Access;
const built = buildPackage({ name: "pkg", version: "1" });
const FILE = { channel: { owner: "alice", channel: "main" }, section: "noarch", fileName: built.fileName };
const BYTES = { sha256: built.sha256 };

beforeAll(async () => {
  server = await startTestApp();
  statements = await statementsOf(server);
  for (const name of ["boss", "spare"]) await server.addUser(name, { admin: true });
  for (const name of ["alice", "maintainer"]) await server.addUser(name);
  expect((await server.as("alice").put(`/api/packages/alice/conda/main/${built.fileName}`, built.bytes)).status).toBe(
    201,
  );
  const { settings } = await enginesOf(server.folder);
  const place = databaseOf(join(server.folder, "condarium.db"), settings.database);
  database = await openDatabase(place, { clock: systemClock, create: false });
  access = createAccess({
    reader: database.read,
    clock: systemClock,
    createChannels: true,
    twoFactor: "no",
    formerAddressMs: 0,
  });
});
beforeEach(async () => {
  await server.manage.grants.set(FILE.channel, "maintainer", "maintainer");
  await setAdministrator(true);
});
afterAll(async () => {
  await database.close();
  await server.close();
});

async function setAdministrator(isAdmin: boolean): Promise<void> {
  const owner = "(SELECT id FROM owner WHERE name = 'boss')";
  await statements.all(`UPDATE "user" SET is_admin = ${isAdmin} WHERE owner_id = ${owner}`);
}

async function actorOf(name: string): Promise<RequestActor> {
  const user = await findUser(database.read, name);
  if (!user) throw new Error(`there is no user ${name}`);
  return { kind: "request", identity: { kind: "user", user }, requestId: "r", address: "", surface: "management" };
}

/** Runs `work` with a gate that ends a right as soon as it has answered for the first time. */
async function losing(
  end: () => Promise<unknown>,
  work: (quarantines: Quarantines) => Promise<unknown>,
): Promise<string> {
  let isFirst = true;
  const ending = async (...args: Parameters<Access["require"]>): Promise<unknown> => {
    const found: unknown = await access.require(...args);
    if (isFirst) await end();
    isFirst = false;
    return found;
  };
  const gate = { ...access, require: ending as Access["require"] };
  return await codeOf(work(createQuarantines({ database, access: gate, clock: systemClock })));
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await errorOf(work);
  return error instanceof AppError ? error.code : error.message;
}

const loseRole = () => server.manage.grants.revoke(FILE.channel, "maintainer");
const loseAdministration = () => setAdministrator(false);

test.each(["quarantine", "release"] as const)("a maintainer who loses the role meanwhile does not %s", async (verb) => {
  const actor = await actorOf("maintainer");
  if (verb === "release") await server.app.quarantines.quarantine(actor, FILE, "a reason");
  const state = await statements.all("SELECT state, quarantine FROM package_file");
  const code = await losing(loseRole, (quarantines) =>
    verb === "quarantine" ? quarantines.quarantine(actor, FILE, "a reason") : quarantines.release(actor, FILE),
  );
  expect(code).toBe("forbidden");
  expect(await statements.all("SELECT state, quarantine FROM package_file")).toEqual(state);
  await server.app.quarantines.releaseAll(COMMAND_LINE, BYTES, { dryRun: false });
});

test.each(["quarantine", "release"] as const)("an administrator who is none any more does not %s all", async (verb) => {
  const actor = await actorOf("boss");
  if (verb === "release")
    await server.app.quarantines.quarantineAll(COMMAND_LINE, BYTES, { reason: "a reason", dryRun: false });
  const dump = await statements.all("SELECT state, quarantine FROM package_file");
  const code = await losing(loseAdministration, (quarantines) =>
    verb === "quarantine"
      ? quarantines.quarantineAll(actor, BYTES, { reason: "a reason", dryRun: false })
      : quarantines.releaseAll(actor, BYTES, { dryRun: false }),
  );
  expect(code).toBe("forbidden");
  expect(await statements.all("SELECT state, quarantine FROM package_file")).toEqual(dump);
  await server.app.quarantines.releaseAll(COMMAND_LINE, BYTES, { dryRun: false });
});

test("who is no administrator any more does not release what an administrator has quarantined", async () => {
  await server.manage.grants.set(FILE.channel, "boss", "maintainer");
  const actor = await actorOf("boss");
  await server.app.quarantines.quarantine(actor, FILE, "a reason");
  const code = await losing(loseAdministration, (quarantines) => quarantines.release(actor, FILE));
  expect(code).toBe("forbidden");
  expect((await server.as("alice").get(`/alice/main/noarch/${built.fileName}`)).status).toBe(403);
  await server.app.quarantines.releaseAll(COMMAND_LINE, BYTES, { dryRun: false });
});

test("who was an administrator when the request arrived reads no list and no trail", async () => {
  const actor = await actorOf("boss");
  await setAdministrator(false);
  expect(await codeOf(server.app.quarantines.list(actor, { limit: 1 }))).toBe("forbidden");
  const trail = createAuditTrail({ database, access, clock: systemClock });
  expect(await codeOf(trail.page(actor, {}, 1))).toBe("forbidden");
  expect(await codeOf(trail.page(actor, { owner: "alice" }, 1))).toBe("not-found");
});
