// Creates, disables, hides, unlocks and deletes users, and sets their passwords.

import { conflict, invalidArgument, notFound, usage } from "../errors.ts";
import type { Database, Reader, Transaction } from "../models/database.ts";
import { listChannels } from "../models/channel.ts";
import { deleteOwner, findOwner, insertOwner, updateOwner, type OwnerRow, type Visibility } from "../models/owner.ts";
import { deleteUser, findUser, insertUser, listUsers, setPassword, type UserWithOwner } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import { foldCase } from "../modules/fold-case.ts";
import { isOwnerName } from "../modules/owner-name.ts";
import { hashPassword } from "../modules/passwords.ts";
import type { Access } from "./access.ts";
import type { Actor } from "./actor.ts";
import { recordAudit, type AuditAction } from "./audit.ts";
import type { PackageTypes } from "./package-type.ts";
import { forgetFailedLogins, forgetLogins } from "./throttle.ts";

export type NewUser = { readonly name: string; readonly password: string; readonly isAdmin: boolean };
export type UserInfo = {
  readonly name: string;
  readonly admin: boolean;
  /** Logins and tokens of the user are refused. */
  readonly disabled: boolean;
  /** Only administrators can read what the user has. */
  readonly hidden: boolean;
  readonly visibility: Visibility;
  readonly twoFactor: boolean;
  /** ms UTC */
  readonly created: number;
};

/** Errors of all but `isEmpty`: those of `Access.require()`. */
export type Users = {
  /** Errors: `invalid-argument` for an invalid name or password, `conflict` when the name is taken. */
  create(actor: Actor, user: NewUser): Promise<void>;
  list(actor: Actor): Promise<UserInfo[]>;
  /** Also invalidates every existing token of the user. */
  setPassword(actor: Actor, name: string, password: string): Promise<void>;
  setDisabled(actor: Actor, name: string, disabled: boolean): Promise<void>;
  setHidden(actor: Actor, name: string, hidden: boolean): Promise<void>;
  /** Forgets the failed logins of the user, so that the next login is not refused because of them. */
  unlock(actor: Actor, name: string): Promise<void>;
  /** Errors: `conflict` while the user still has channels. */
  remove(actor: Actor, name: string): Promise<void>;
  isEmpty(): Promise<boolean>;
};

export type UsersParts = {
  readonly database: Database;
  readonly access: Access;
  readonly clock: Clock;
  readonly defaultVisibility: Visibility;
  readonly types: PackageTypes;
  /** The name that the path of `public-url` takes from the owners; undefined when the URL has no path. */
  readonly reservedOwner?: string | undefined;
};

const SERVER = { kind: "server" } as const;

export function createUsers(parts: UsersParts): Users {
  const { database, access } = parts;
  const change = <T>(actor: Actor, name: string, work: (tx: Transaction, user: UserWithOwner) => Promise<T>) =>
    database.transact(async (tx) => {
      await access.require(actor, "administer", SERVER, tx);
      return await work(tx, await requireUser(tx, name));
    });
  return {
    create: async (actor, user) => {
      // A hash is slow, so an actor without the right is refused before it.
      await access.require(actor, "administer", SERVER);
      const isReserved = user.name === parts.reservedOwner;
      if (isReserved || !isOwnerName(user.name) || parts.types.all.some((type) => type.isReservedOwner(user.name))) {
        throw invalidArgument(
          `Invalid user name ${JSON.stringify(user.name.slice(0, 80))}: use 1 to 63 of a-z, 0-9, dot, dash and ` +
            "underscore, beginning with a letter or digit, and none of the reserved words.",
        );
      }
      const passwordHash = await hashPassword(user.password);
      await database.transact(async (tx) => {
        await access.require(actor, "administer", SERVER, tx);
        const owner = await insert(tx, parts, { ...user, passwordHash });
        await record(tx, parts, actor, "user.create", owner, { admin: user.isAdmin });
      });
    },
    list: async (actor) => {
      await access.require(actor, "administer", SERVER, database.read);
      return (await listUsers(database.read)).map(infoOf);
    },
    setPassword: async (actor, name, password) => {
      await access.require(actor, "administer", SERVER);
      const passwordHash = await hashPassword(password);
      await change(actor, name, async (tx, user) => {
        const credentialVersion = user.credentialVersion + 1;
        await setPassword(tx, user.id, { passwordHash, credentialVersion, mustChangePassword: false });
        await record(tx, parts, actor, "user.password", user.owner);
      });
    },
    setDisabled: (actor, name, disabled) =>
      change(actor, name, async (tx, user) => {
        if (disabled) await requireOtherAdministrator(tx, user);
        await updateOwner(tx, user.ownerId, { disabled });
        await record(tx, parts, actor, disabled ? "user.disable" : "user.enable", user.owner);
      }),
    setHidden: (actor, name, hidden) =>
      change(actor, name, async (tx, user) => {
        await updateOwner(tx, user.ownerId, { hidden });
        await record(tx, parts, actor, hidden ? "user.hide" : "user.unhide", user.owner);
      }),
    unlock: (actor, name) =>
      change(actor, name, async (tx, user) => {
        await forgetFailedLogins(tx, user);
        await record(tx, parts, actor, "user.unlock", user.owner);
      }),
    remove: (actor, name) =>
      change(actor, name, async (tx, user) => {
        await requireOtherAdministrator(tx, user);
        const channels = await listChannels(tx, user.ownerId);
        if (channels.length > 0) throw conflict(`${name} still has ${channels.length} channel(s). Delete them first.`);
        await forgetLogins(tx, user);
        await deleteUser(tx, user);
        await deleteOwner(tx, user.ownerId);
        await record(tx, parts, actor, "user.delete", user.owner);
      }),
    isEmpty: async () => (await listUsers(database.read)).length === 0,
  };
}

/** Errors: `usage` when an owner has the name, because the server would mistake its URLs for other ones. */
export async function refuseTakenName(reader: Reader, reservedOwner: string | undefined): Promise<void> {
  if (reservedOwner === undefined || !(await findOwner(reader, reservedOwner))) return;
  throw usage(
    `The path of public-url begins with /${reservedOwner}, and there is an owner of this name, whose channels would be unreachable. ` +
      "Set public-url to a URL with another path, or delete the owner.",
  );
}

async function insert(tx: Transaction, parts: UsersParts, user: NewUser & { passwordHash: string }): Promise<OwnerRow> {
  if (await findOwner(tx, user.name)) throw conflict(`The name ${user.name} is taken.`);
  const created = parts.clock.now();
  const owner = await insertOwner(tx, {
    kind: "user",
    name: foldCase(user.name),
    visibility: parts.defaultVisibility,
    created,
  });
  const { passwordHash, isAdmin } = user;
  await insertUser(tx, { ownerId: owner.id, passwordHash, isAdmin, email: "" });
  return owner;
}

async function record(
  tx: Transaction,
  { clock }: UsersParts,
  actor: Actor,
  action: Extract<AuditAction, `user.${string}`>,
  owner: OwnerRow,
  detail: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await recordAudit(tx, actor, { at: clock.now(), action, owner, detail });
}

/** A server without an enabled administrator could not be managed. */
async function requireOtherAdministrator(tx: Transaction, leaving: UserWithOwner): Promise<void> {
  const users = await listUsers(tx);
  const others = users.filter((user) => user.isAdmin && !user.owner.disabled && user.id !== leaving.id);
  if (leaving.isAdmin && others.length === 0) throw conflict(`${leaving.owner.name} is the only administrator left.`);
}

async function requireUser(reader: Reader, name: string): Promise<UserWithOwner> {
  const user = await findUser(reader, name);
  if (!user) throw notFound(`There is no user ${name}.`);
  return user;
}

function infoOf(user: UserWithOwner): UserInfo {
  const { name, disabled, hidden, visibility, created } = user.owner;
  return { name, admin: user.isAdmin, disabled, hidden, visibility, twoFactor: user.hasTwoFactor, created };
}
