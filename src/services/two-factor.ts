// Turns two-factor authentication on and off: a secret for an authenticator app, and recovery codes for its loss.

import { AppError, conflict, forbidden, notFound } from "../errors.ts";
import type { Database, Reader, Transaction } from "../models/database.ts";
import {
  confirmSecondFactor,
  deleteSecondFactor,
  findSecondFactor,
  insertRecoveryCodes,
  replaceSecondFactor,
} from "../models/second-factor.ts";
import { findUser, type UserWithOwner } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import { sha256Hex } from "../modules/hash.ts";
import { createRecoveryCode, createTotpSecret, plainCode, totpStep, totpUri } from "../modules/totp.ts";
import type { Access } from "./access.ts";
import { userOf, type Actor, type RequestActor } from "./actor.ts";
import { recordAudit, type AuditAction } from "./audit.ts";
import type { LoginCodes } from "./login-codes.ts";
import { requireEveryNode } from "./nodes.ts";

/** `uri`: what a QR code for the app contains. Neither can be read again. */
export type NewSecondFactor = { readonly secret: string; readonly uri: string };

/**
 * The first three are for the actor's own account, and want its password, not a token: `forbidden`. Errors of all: those
 * of `Access.require()`.
 */
export type TwoFactor = {
  /** Nothing changes for logins until `confirm()`. Errors: `conflict` when it is on; those of `requireEveryNode()`. */
  begin(actor: RequestActor): Promise<NewSecondFactor>;
  /**
   * Turns it on with a first code of the app, which counts for no login; returns the recovery codes. Errors: `conflict`
   * when it is on or has not begun; `unprocessable` for a wrong code; those of `requireEveryNode()`.
   */
  confirm(actor: RequestActor, code: string): Promise<string[]>;
  /** Takes the code of the login as well. Errors: `conflict` when it is off; those of `LoginCodes.use()`. */
  disable(actor: RequestActor, code: string): Promise<void>;
  /** For a user who has lost the app and the recovery codes. Errors: `not-found`; `conflict` when it is off. */
  reset(actor: Actor, name: string): Promise<void>;
};

export type TwoFactorParts = {
  readonly database: Database;
  readonly access: Access;
  readonly clock: Clock;
  readonly codes: LoginCodes;
  /** Names the server in the app. */
  readonly issuer: string;
};

/** The schema number of the first release that wants the codes. */
const SCHEMA = 8;
const RECOVERY_CODES = 10;

const BEGIN = "There is nothing to confirm. Begin with POST /api/v1/user/two-factor.";
const WRONG_CODE =
  "The code is not the one that the app shows now. Check the time of the device, and try the next code.";

export function createTwoFactor(parts: TwoFactorParts): TwoFactor {
  const { database, access, clock, codes } = parts;
  const record = (tx: Transaction, actor: Actor, action: TwoFactorAction, { owner }: UserWithOwner): Promise<void> =>
    recordAudit(tx, actor, { at: clock.now(), action, owner });
  return {
    begin: (actor) =>
      database.transact(async (tx) => {
        const user = await requireSelf(access, actor, tx);
        if (user.hasTwoFactor) throw conflict("Two-factor authentication is on. Turn it off to use another app.");
        await requireEveryNode(tx, SCHEMA, clock);
        const secret = createTotpSecret();
        await replaceSecondFactor(tx, { userId: user.id, secret, created: clock.now() });
        return { secret, uri: totpUri(secret, { issuer: parts.issuer, account: user.owner.name }) };
      }),
    confirm: (actor, code) =>
      database.transact(async (tx) => {
        const user = await requireSelf(access, actor, tx);
        const recoveryCodes = await confirm(tx, { userId: user.id, code, clock });
        await record(tx, actor, "two-factor.enable", user);
        return recoveryCodes;
      }),
    disable: async (actor, code) => {
      const self = await requireSelf(access, actor);
      // The code of the login has been used up by this request.
      if (self.hasTwoFactor && !isCodeOfLogin(actor, code)) await codes.use(self, code, actor);
      await database.transact(async (tx) => {
        const user = await requireSelf(access, actor, tx);
        await turnOff(tx, user);
        await record(tx, actor, "two-factor.disable", user);
      });
    },
    reset: (actor, name) =>
      database.transact(async (tx) => {
        await access.require(actor, "administer", { kind: "server" }, tx);
        const user = await findUser(tx, name);
        if (!user) throw notFound(`There is no user ${name}.`);
        await turnOff(tx, user);
        await record(tx, actor, "two-factor.reset", user);
      }),
  };
}

type TwoFactorAction = Extract<AuditAction, `two-factor.${string}`>;

async function turnOff(tx: Transaction, { id }: UserWithOwner): Promise<void> {
  if (!(await deleteSecondFactor(tx, id))) throw conflict("Two-factor authentication is off.");
}

/** The account of the actor, as it is now. A stolen token must not lock its user out. */
async function requireSelf(access: Access, actor: RequestActor, reader?: Reader): Promise<UserWithOwner> {
  if (actor.identity.kind === "token") throw forbidden("This wants the password of the account instead of a token.");
  return await access.require(actor, "tokens", { kind: "user", user: userOf(actor)?.owner.name ?? "" }, reader);
}

type Confirmation = { readonly userId: number; readonly code: string; readonly clock: Clock };

async function confirm(tx: Transaction, { userId, code, clock }: Confirmation): Promise<string[]> {
  const factor = await findSecondFactor(tx, userId);
  if (!factor) throw conflict(BEGIN);
  if (factor.confirmed !== null) throw conflict("Two-factor authentication is on already.");
  const now = clock.now();
  const lastStep = totpStep(plainCode(code), factor.secret, now);
  if (lastStep === undefined) throw new AppError("unprocessable", WRONG_CODE);
  await requireEveryNode(tx, SCHEMA, clock);
  const recoveryCodes = Array.from({ length: RECOVERY_CODES }, createRecoveryCode);
  const hashes = recoveryCodes.map((one) => sha256Hex(plainCode(one)));
  await confirmSecondFactor(tx, { userId, confirmed: now, lastStep });
  await insertRecoveryCodes(tx, userId, hashes);
  return recoveryCodes;
}

function isCodeOfLogin({ identity }: RequestActor, code: string): boolean {
  return identity.kind === "user" && identity.code !== undefined && plainCode(identity.code) === plainCode(code);
}
