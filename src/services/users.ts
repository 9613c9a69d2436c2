// Creates, disables, hides, unlocks and deletes users, and sets their passwords.

import { notFound, usage } from "../errors.ts";
import type { Database, Reader, Transaction } from "../models/database.ts";
import { findOwner, insertOwner, type OwnerRow, type Visibility } from "../models/owner.ts";
import { findUser, insertUser, listUsers, type UserWithOwner } from "../models/user.ts";
import { foldCase } from "../modules/fold-case.ts";
import { hashNewPassword } from "../modules/passwords.ts";
import type { Access } from "./access.ts";
import type { Actor } from "./actor.ts";
import { recordAudit, type AuditAction } from "./audit.ts";
import type { Channels } from "./channels.ts";
import { renameOwner, requireOwnerName, takeName, type NameRules } from "./owner-names.ts";
import { forgetFailedLogins } from "./throttle.ts";
import { applyUserChange, type UserChange } from "./user-change.ts";
import { removeUser } from "./user-removal.ts";

export type NewUser = {
  readonly name: string;
  readonly password: string;
  readonly isAdmin: boolean;
  readonly mustChangePassword?: boolean;
  readonly displayName?: string;
  readonly email?: string;
  /** Default: that of the server. */
  readonly visibility?: Visibility | undefined;
};
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
  /** Errors: `invalid-argument` for an invalid name, `weak-password`, `conflict` when the name is taken. */
  create(actor: Actor, user: NewUser): Promise<void>;
  list(actor: Actor): Promise<UserInfo[]>;
  /** Errors: `invalid` when no enabled administrator would be left, `weak-password`. */
  change(actor: Actor, name: string, change: UserChange): Promise<void>;
  /** Also invalidates every existing token of the user. */
  setPassword(actor: Actor, name: string, password: string): Promise<void>;
  setDisabled(actor: Actor, name: string, disabled: boolean): Promise<void>;
  setHidden(actor: Actor, name: string, hidden: boolean): Promise<void>;
  /** Forgets the failed logins of the user, so that the next login is not refused because of them. */
  unlock(actor: Actor, name: string): Promise<void>;
  /** Returns the new name in its stored form. Errors: `invalid-argument`, `conflict` when the name is taken. */
  rename(actor: Actor, name: string, to: string): Promise<string>;
  /**
   * With `purge`, the channels of the user are deleted first, with their files. Errors: `invalid` while the user has
   * channels, for the only administrator and for the actor's own account; `conflict` for the last owner of an organization.
   */
  remove(actor: Actor, name: string, options?: { readonly purge?: boolean }): Promise<void>;
  isEmpty(): Promise<boolean>;
};

export type UsersParts = NameRules & {
  readonly database: Database;
  readonly access: Access;
  readonly channels: Pick<Channels, "remove">;
  readonly defaultVisibility: Visibility;
};

const SERVER = { kind: "server" } as const;

export function createUsers(parts: UsersParts): Users {
  const { database, access } = parts;
  const act = <T>(actor: Actor, name: string, work: (tx: Transaction, user: UserWithOwner) => Promise<T>) =>
    database.transact(async (tx) => {
      await access.require(actor, "administer", SERVER, tx);
      return await work(tx, await requireUser(tx, name));
    });
  const change = async (actor: Actor, name: string, { password, ...rest }: UserChange): Promise<void> => {
    // A hash is slow, so an actor without the right is refused before it.
    await access.require(actor, "administer", SERVER);
    const passwordHash = password === undefined ? undefined : await hashNewPassword(password);
    await act(actor, name, (tx, user) =>
      applyUserChange(tx, { actor, user, at: parts.clock.now() }, { ...rest, passwordHash }),
    );
  };
  return {
    change,
    create: async (actor, user) => {
      // A hash is slow, so an actor without the right is refused before it.
      await access.require(actor, "administer", SERVER);
      requireOwnerName(parts, "user", user.name);
      const passwordHash = await hashNewPassword(user.password);
      await database.transact(async (tx) => {
        await access.require(actor, "administer", SERVER, tx);
        const owner = await insert(tx, parts, actor, { ...user, passwordHash });
        await record(tx, parts, actor, "user.create", owner, { admin: user.isAdmin });
      });
    },
    list: async (actor) => {
      await access.require(actor, "administer", SERVER, database.read);
      return (await listUsers(database.read)).map(infoOf);
    },
    setPassword: (actor, name, password) => change(actor, name, { password }),
    setDisabled: (actor, name, disabled) => change(actor, name, { disabled }),
    setHidden: (actor, name, hidden) => change(actor, name, { hidden }),
    unlock: (actor, name) =>
      act(actor, name, async (tx, user) => {
        await forgetFailedLogins(tx, user);
        await record(tx, parts, actor, "user.unlock", user.owner);
      }),
    rename: (actor, name, to) =>
      act(actor, name, async (tx, { owner }) => await renameOwner(tx, parts, { actor, owner, to })),
    remove: (actor, name, options) => removeUser(parts, actor, name, options),
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

async function insert(
  tx: Transaction,
  parts: UsersParts,
  actor: Actor,
  user: NewUser & { passwordHash: string },
): Promise<OwnerRow> {
  await takeName(tx, parts, actor, { name: user.name });
  const created = parts.clock.now();
  const owner = await insertOwner(tx, {
    kind: "user",
    name: foldCase(user.name),
    visibility: user.visibility ?? parts.defaultVisibility,
    displayName: user.displayName ?? "",
    created,
  });
  const { passwordHash, isAdmin, email = "", mustChangePassword = false } = user;
  await insertUser(tx, { ownerId: owner.id, passwordHash, isAdmin, email, mustChangePassword });
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

async function requireUser(reader: Reader, name: string): Promise<UserWithOwner> {
  const user = await findUser(reader, name);
  if (!user) throw notFound(`There is no user ${name}.`);
  return user;
}

function infoOf(user: UserWithOwner): UserInfo {
  const { name, disabled, hidden, visibility, created } = user.owner;
  return { name, admin: user.isAdmin, disabled, hidden, visibility, twoFactor: user.hasTwoFactor, created };
}
