// Deletes a user, if asked together with everything that the user has.

import { invalid, notFound } from "../errors.ts";
import { listChannels } from "../models/channel.ts";
import type { Database, Transaction } from "../models/database.ts";
import { deleteOwner } from "../models/owner.ts";
import { deleteUser, findUser, type UserWithOwner } from "../models/user.ts";
import type { Access } from "./access.ts";
import { userOf, type Actor } from "./actor.ts";
import { recordAudit } from "./audit.ts";
import type { Channels } from "./channels.ts";
import { requireOtherOwners } from "./memberships.ts";
import { freeName, type NameRules } from "./owner-names.ts";
import { forgetLogins } from "./throttle.ts";
import { requireOtherAdministrator } from "./user-change.ts";

export type UserRemovalParts = NameRules & {
  readonly database: Database;
  readonly access: Access;
  readonly channels: Pick<Channels, "remove">;
};

/** Channels that others create meanwhile are deleted too, but not without end. */
const MOST_ROUNDS = 5;

/**
 * Errors: `invalid` while the user has channels, for the only administrator and for the actor's own account; `conflict`
 * for the last owner of an organization.
 */
export async function removeUser(
  parts: UserRemovalParts,
  actor: Actor,
  name: string,
  { purge = false } = {},
): Promise<void> {
  const { database, channels, clock } = parts;
  const leaving = (tx: Transaction): Promise<UserWithOwner> => requireRemovable(tx, parts, actor, name);
  const rounds = purge ? MOST_ROUNDS : 0;
  for (let round = 0; round < rounds; round++) {
    const owned = await database.transact(async (tx) => await listChannels(tx, (await leaving(tx)).ownerId));
    if (owned.length === 0) break;
    for (const { type, owner, name: channel } of owned) {
      await channels.remove(actor, { type, owner: owner.name, channel }, { withFiles: true });
    }
  }
  await database.transact(async (tx) => {
    const user = await leaving(tx);
    const owned = await listChannels(tx, user.ownerId);
    if (owned.length > 0) throw invalid(`${name} still has ${owned.length} channel(s). Delete them first.`);
    await forgetLogins(tx, user);
    await deleteUser(tx, user);
    await deleteOwner(tx, user.ownerId);
    await freeName(tx, parts, user.owner);
    await recordAudit(tx, actor, { at: clock.now(), action: "user.delete", owner: user.owner });
  });
}

async function requireRemovable(
  tx: Transaction,
  { access }: UserRemovalParts,
  actor: Actor,
  name: string,
): Promise<UserWithOwner> {
  await access.require(actor, "administer", { kind: "server" }, tx);
  const user = await findUser(tx, name);
  if (!user) throw notFound(`There is no user ${name}.`);
  await requireOtherAdministrator(tx, user);
  await requireOtherOwners(tx, user);
  if (userOf(actor)?.id === user.id) throw invalid("This is your own account: another administrator must delete it.");
  return user;
}
