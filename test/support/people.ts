// Actors of a test app, as routes build them, and the rows that show what an action has left: on every engine.

import { expect } from "bun:test";
import { desc, isNull } from "drizzle-orm";
import { AppError } from "../../src/errors.ts";
import type { Database } from "../../src/models/database.ts";
import { openDatabase } from "../../src/models/open-database.ts";
import { auditEvent } from "../../src/models/schema/index.ts";
import { findTokenByHash } from "../../src/models/access-token.ts";
import { findAccount, findUserById } from "../../src/models/user.ts";
import { systemClock } from "../../src/modules/clock.ts";
import { sha256Hex } from "../../src/modules/hash.ts";
import { ANONYMOUS, type Actor, type Identity } from "../../src/services/actor.ts";
import { tokenLimits } from "../../src/services/token-limits.ts";
import type { TestApp } from "./app.ts";
import { enginesOf } from "./engines.ts";
import { newToken } from "./manage.ts";

export type People = {
  readonly database: Database;
  readonly anonymous: Actor;
  /** Signed in with a password. */
  user(name: string): Promise<Actor>;
  /** Signed in with a new token of the user or robot. */
  token(name: string, limits?: Partial<Omit<Parameters<typeof newToken>[1], "user" | "name">>): Promise<Actor>;
  /** Signed in with a token that exists. */
  withToken(token: string): Promise<Actor>;
  /** The newest row of the audit trail. */
  lastAudit(): Promise<{ action: string; target: string; actor: string; ownerId: number | null; detail: unknown }>;
  /** `action target` of the newest rows, newest first. */
  lastAudits(count: number): Promise<string[]>;
  auditCount(): Promise<number>;
  close(): Promise<void>;
};

export async function peopleOf(server: TestApp): Promise<People> {
  const { database: url } = (await enginesOf(server.folder)).settings;
  const place =
    url === undefined
      ? ({ engine: "sqlite", path: `${server.folder}/condarium.db` } as const)
      : ({ engine: "postgres", url } as const);
  const database = await openDatabase(place, { clock: systemClock, create: false });
  const act = (identity: Identity): Actor => ({
    kind: "request",
    identity,
    requestId: "r",
    address: "192.0.2.7",
    surface: "management",
  });
  const withToken = async (token: string): Promise<Actor> => {
    const row = await findTokenByHash(database.read, sha256Hex(token));
    const user = row && (await findUserById(database.read, row.userId));
    if (!row || !user) throw new Error("there is no such token");
    return act({ kind: "token", user, token: tokenLimits(row) });
  };
  // Refusals are stored some seconds later.
  const audit = () =>
    database.read.select().from(auditEvent).where(isNull(auditEvent.refusal)).orderBy(desc(auditEvent.id));
  return {
    database,
    anonymous: act(ANONYMOUS),
    user: async (name) => {
      const user = await findAccount(database.read, name);
      if (!user) throw new Error(`there is no account ${name}`);
      return act({ kind: "user", user });
    },
    withToken,
    token: async (user, limits = {}) =>
      await withToken(await newToken(server.manage, { user, name: `t ${Bun.randomUUIDv7()}`, ...limits })),
    lastAudit: async () => {
      const [row] = await audit().limit(1);
      if (!row) throw new Error("the audit trail is empty");
      const { action, target, actor, ownerId } = row;
      return { action, target, actor, ownerId, detail: JSON.parse(row.detail) };
    },
    lastAudits: async (count) => (await audit().limit(count)).map(({ action, target }) => `${action} ${target}`),
    auditCount: async () => (await audit()).length,
    close: () => database.close(),
  };
}

/** The code of the error that the work throws; "done" when it throws none. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => "done",
    (error: unknown) => {
      if (!(error instanceof AppError)) throw error;
      return error.code;
    },
  );
}

/** The message of the error that the work throws. */
export async function messageOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => "",
    (error: unknown) => {
      if (!(error instanceof AppError)) throw error;
      return error.message;
    },
  );
}

/** Fails unless the work is refused with this code and leaves no row in the audit trail. */
export async function expectRefused(people: People, work: () => Promise<unknown>, code: string): Promise<void> {
  const before = await people.auditCount();
  expect(await codeOf(work())).toBe(code);
  expect(await people.auditCount()).toBe(before);
}
