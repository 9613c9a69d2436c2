// What a request learns about users and other owners.

import { forbidden, notFound } from "../errors.ts";
import type { Database } from "../models/database.ts";
import { findOwner, type OwnerRow } from "../models/owner.ts";
import { countUsers, findUser, pageOfUsers, type UserRow, type UserWithOwner } from "../models/user.ts";
import type { Access } from "./access.ts";
import { isForMetricsOnly, tokenOf, userOf, type Actor } from "./actor.ts";

export type Profile = Pick<OwnerRow, "id" | "kind" | "name" | "displayName" | "visibility" | "created"> & {
  /** For the user and for administrators only. */
  readonly details: ProfileDetails | undefined;
};
export type ProfileDetails = Pick<OwnerRow, "disabled" | "hidden"> &
  Pick<UserRow, "email" | "isAdmin" | "mustChangePassword">;

export type Profiles = {
  /** The user behind the actor. Errors: `forbidden` for a token that can only read the metrics. */
  own(actor: Actor): Profile;
  /** Errors: those of `Access.require()`. */
  show(actor: Actor, name: string): Promise<Profile>;
  /** An owner or robot whose name the caller was allowed to learn, without its details. */
  known(name: string): Promise<Profile | undefined>;
  /** All users by name, for administrators. Errors: those of `Access.require()`. */
  list(
    actor: Actor,
    page: { readonly offset: number; readonly limit: number },
  ): Promise<{ readonly items: Profile[]; readonly total: number }>;
};

export type ProfilesParts = { readonly database: Database; readonly access: Access };

export function createProfiles({ database, access }: ProfilesParts): Profiles {
  return {
    own: (actor) => {
      const user = userOf(actor);
      if (!user) throw notFound("The request has no user.");
      if (actor.kind === "request" && isForMetricsOnly(actor.identity))
        throw forbidden("This token can only read /metrics.");
      return profileOf(user.owner, covers(actor) ? user : undefined);
    },
    show: async (actor, name) => {
      const owner = await access.require(actor, "view", { kind: "owner", owner: name });
      const asking = userOf(actor);
      const isClose = asking?.ownerId === owner.id || asking?.isAdmin === true;
      return profileOf(owner, isClose && covers(actor) ? await findUser(database.read, owner.name) : undefined);
    },
    known: async (name) => {
      const owner = await findOwner(database.read, name);
      return owner && profileOf(owner, undefined);
    },
    list: async (actor, page) => {
      await access.require(actor, "administer", { kind: "server" }, database.read);
      const users = await pageOfUsers(database.read, page);
      return { items: users.map((user) => profileOf(user.owner, user)), total: await countUsers(database.read) };
    },
  };
}

/** Whether the actor has all rights of its user: a token for less does not show the user's address. */
function covers(actor: Actor): boolean {
  const token = tokenOf(actor);
  if (!token) return true;
  const isBound = token.channels.length > 0 || token.packages.length > 0 || token.scopes.includes("public-only");
  return token.scopes.includes("all") && !isBound;
}

function profileOf(owner: OwnerRow, user: UserWithOwner | undefined): Profile {
  const { id, kind, name, displayName, visibility, created, disabled, hidden } = owner;
  const details = user && {
    disabled,
    hidden,
    email: user.email,
    isAdmin: user.isAdmin,
    mustChangePassword: user.mustChangePassword,
  };
  return { id, kind, name, displayName, visibility, created, details };
}
