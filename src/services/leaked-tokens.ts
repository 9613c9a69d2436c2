// Tokens that were found where they should not be: whose they are, and whether they still work.

import { findTokenByHash, type AccessTokenRow } from "../models/access-token.ts";
import type { Database } from "../models/database.ts";
import { findUserById, type UserWithOwner } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import { sha256Hex } from "../modules/hash.ts";
import type { Access } from "./access.ts";
import type { Actor } from "./actor.ts";

/** `outdated`: older than the password of its user. `disabled`: its user is disabled. */
export type LeakedState = "valid" | "expired" | "revoked" | "outdated" | "disabled";

export type LeakedToken = {
  readonly id: number;
  /** A user, or a robot as `organization/robot`. */
  readonly user: string;
  readonly name: string;
  readonly state: LeakedState;
};

export type LeakedTokens = {
  /** Undefined for a token that this server does not know. Errors: those of `Access.require()`. */
  identify(actor: Actor, token: string): Promise<LeakedToken | undefined>;
};

export type LeakedTokensParts = { readonly database: Database; readonly access: Access; readonly clock: Clock };

export function createLeakedTokens({ database, access, clock }: LeakedTokensParts): LeakedTokens {
  return {
    identify: async (actor, token) => {
      await access.require(actor, "administer", { kind: "server" }, database.read);
      const row = await findTokenByHash(database.read, sha256Hex(token));
      const user = row && (await findUserById(database.read, row.userId));
      if (!row || !user) return undefined;
      return { id: row.id, user: user.owner.name, name: row.name, state: stateOf(row, user, clock.now()) };
    },
  };
}

function stateOf(row: AccessTokenRow, user: UserWithOwner, now: number): LeakedState {
  if (row.revoked !== null) return "revoked";
  if (row.expires !== null && row.expires <= now) return "expired";
  if (row.credentialVersion !== user.credentialVersion) return "outdated";
  return user.owner.disabled ? "disabled" : "valid";
}
