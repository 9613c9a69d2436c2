// What the log says of refused credentials, and that the client does not learn it.

import { afterAll, beforeAll, expect, test } from "bun:test";
import type { SQL } from "drizzle-orm";
import { AppError } from "../../src/errors.ts";
import { createEvents } from "../../src/events.ts";
import type { Database, Reader } from "../../src/models/database.ts";
import { openDatabase } from "../../src/models/open-database.ts";
import { systemClock as clock } from "../../src/modules/clock.ts";
import { createToken } from "../../src/modules/ids.ts";
import { createLogger } from "../../src/modules/log.ts";
import { createMetrics } from "../../src/modules/metrics.ts";
import { ANONYMOUS } from "../../src/services/actor.ts";
import { createIdentities, type Credential, type Identities } from "../../src/services/identities.ts";
import { createLoginCodes } from "../../src/services/login-codes.ts";
import { createLogins } from "../../src/services/logins.ts";
import { createTokenUses } from "../../src/services/token-uses.ts";
import { createThrottle } from "../../src/services/throttle.ts";
import { PASSWORD, startTestApp, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { openTables, sourceOf } from "../support/rows.ts";

const SENDER = { address: "192.0.2.1", requestId: "a request" };
let server: TestApp;
let database: Database;
let identities: Identities;

beforeAll(async () => {
  server = await startTestApp();
  database = await openDatabase(sourceOf(server.folder), { clock, create: false });
  const events = createEvents({ log: createLogger({ level: "silent" }), metrics: createMetrics() });
  const throttle = createThrottle({ database, clock });
  const codes = createLoginCodes({ database, throttle, clock });
  const logins = createLogins({ database, clock, events, throttle, codes });
  const tokenUses = createTokenUses({ database, clock });
  identities = createIdentities({ database, clock, logins, tokenUses, twoFactor: "no" });
  for (const name of ["alice", "bob"]) await server.addUser(name);
});
afterAll(async () => {
  await database.close();
  await server.close();
});

async function refusalOf(...credentials: Credential[]): Promise<AppError> {
  const error = await identities.identify(credentials, SENDER).catch((reason: unknown) => reason);
  if (!(error instanceof AppError)) throw new Error("the credentials were accepted", { cause: error });
  return error;
}
const password = (user: string, text: string): Credential => ({ kind: "basic", user, password: text });
const tokenOf = (token: string): Credential => ({ kind: "token", token });

test("a failed login has the same refusal for the client, and its reason for the log", async () => {
  const reasons = [
    [await refusalOf(password("typed-secret", PASSWORD)), "a name that no account has"],
    [await refusalOf(password("Alice", "wrong-password")), "login to alice with a wrong password"],
    [await refusalOf(password("alice", "wrong-password")), "login to alice with the same wrong password as before"],
    [await refusalOf(password("alice", "short")), "login to alice with a wrong password"],
  ] as const;
  await server.manage.users.setDisabled("bob", true);
  const disabled = await refusalOf(password("bob", PASSWORD));
  for (const [error, reason] of [...reasons, [disabled, "login to bob which is disabled"] as const]) {
    expect(error).toMatchObject({ code: "unauthenticated", message: "The user name or the password is wrong." });
    expect(error.facts.log).toContain(reason);
    expect(JSON.stringify(error.facts)).not.toMatch(/typed-secret|wrong-password|canary/);
    expect(Object.keys(error.facts)).toEqual(["log"]);
  }
});

test("a limit that is reached is named in the log alone", async () => {
  const tables = openTables(server.folder);
  const limits = [
    ["address:192.0.2.1", 30, "30 failed logins from this network, limit 30"],
    ["user:1", 100, "100 failed logins to this account, and no recent login from this network, limit 100"],
    ["user:1@192.0.2.1", 10, "10 failed logins to this account from this network, limit 10"],
  ] as const;
  for (const [bucket, failures, log] of limits) {
    tables.run("DELETE FROM login_failure");
    tables.run("INSERT INTO login_failure VALUES (?, ?, ?)", bucket, clock.now(), failures);
    const error = await refusalOf(password("alice", `new-guess-${failures}`));
    expect(error).toMatchObject({ code: "throttled", facts: { log } });
    expect(error.message).toMatch(/^Too many failed logins\. Try again in \d+ seconds\.$/);
    tables.run("UPDATE login_failure SET failures = failures - 1");
    expect(await refusalOf(password("alice", `new-guess-${failures}`))).toMatchObject({ code: "unauthenticated" });
  }
  tables.run("DELETE FROM login_failure");
  tables.close();
});

test("a refused token is named in the log alone, and its secret nowhere", async () => {
  const secret = await newToken(server.manage, { user: "alice", name: "ci job" });
  await server.manage.tokens.revoke("alice", "ci job");
  const revoked = await refusalOf(tokenOf(secret));
  expect(revoked.message).toBe("The access token was revoked. Create a new one.");
  expect(revoked.facts.log).toContain('token "ci job" of alice: The access token was revoked');
  const reasons = [await refusalOf(tokenOf(createToken())), await refusalOf(tokenOf("cdr-mistyped"))];
  expect(reasons.map(({ facts }) => facts.log)).toEqual([
    "a well-formed token that is not stored",
    "a token with a wrong form or checksum",
  ]);
  expect(reasons[0]?.message).toBe(reasons[1]?.message ?? "");
});

test("credentials of two identities name both in the log", async () => {
  const secret = await newToken(server.manage, { user: "alice", name: "second" });
  const error = await refusalOf(tokenOf(secret), password("alice", PASSWORD));
  expect(error.facts.log).toMatch(/^credentials of both token \d+ and user \d+$/);
  expect(await identities.identify([], SENDER)).toEqual(ANONYMOUS);
});

/** Rows that are read arrive a little later, so that changes happen in between. */
function slowly(read: Reader): Reader {
  type Table = Parameters<ReturnType<Reader["select"]>["from"]>[0];
  const where = async (table: Table, condition: SQL): Promise<unknown[]> => {
    const rows = await read.select().from(table).where(condition);
    await Bun.sleep(3);
    return rows;
  };
  const select = () => ({ from: (table: Table) => ({ where: (condition: SQL) => where(table, condition) }) });
  return { select } as unknown as Reader;
}

test.each([0, 1, 5])("a limit holds for checks that end in %i ms, while others read the counts", async (ms) => {
  const throttle = createThrottle({ database: { ...database, read: slowly(database.read) }, clock });
  let begun = 0;
  const attempt = (at: number): Promise<unknown> =>
    throttle.attempt({ account: `user:90${ms}`, network: `192.0.2.9${ms}`, guess: `${at}` }, async (begin) => {
      await Bun.sleep(at % 7);
      await begin();
      begun += 1;
      await Bun.sleep(ms);
      return undefined;
    });
  const results = await Promise.allSettled(Array.from({ length: 100 }, (_, at) => attempt(at)));
  expect(begun).toBe(10);
  expect(results.filter(({ status }) => status === "rejected")).toHaveLength(90);
});
