// Users: making them, their passwords, switching them off.

import { conflict, notFound, usage } from "../errors.ts";
import type { Database, Reader, Transaction } from "../models/database.ts";
import { listChannels } from "../models/channel.ts";
import { deleteOwner, findOwner, insertOwner, updateOwner, type Visibility } from "../models/owner.ts";
import { deleteUser, findUser, insertUser, listUsers, setPassword, type UserWithOwner } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import { isOwnerName } from "../modules/conda/channel-name.ts";
import { hashPassword } from "../modules/passwords.ts";
import { forgetAccount } from "./throttle.ts";

export type NewUser = { readonly name: string; readonly password: string; readonly isAdmin: boolean };
export type UserInfo = {
  readonly name: string;
  readonly admin: boolean;
  readonly disabled: boolean;
  readonly visibility: Visibility;
  /** ms UTC */
  readonly created: number;
};

export type Users = {
  /** Errors: `usage` for a bad name or password, `conflict` when the name is taken. */
  create(user: NewUser): Promise<void>;
  list(): Promise<UserInfo[]>;
  /** Also ends every token made before. */
  setPassword(name: string, password: string): Promise<void>;
  setDisabled(name: string, disabled: boolean): Promise<void>;
  /** Errors: `conflict` while the user still has channels. */
  remove(name: string): Promise<void>;
  isEmpty(): Promise<boolean>;
};

export type UsersParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly defaultVisibility: Visibility;
};

export function createUsers(parts: UsersParts): Users {
  const { database } = parts;
  return {
    create: async (user) => {
      if (!isOwnerName(user.name)) {
        throw usage(
          `${JSON.stringify(user.name.slice(0, 80))} cannot be a user name: 1 to 63 of a-z, 0-9, dot, dash and underscore, beginning with a letter or digit, and none of the reserved words.`,
        );
      }
      const passwordHash = await hashPassword(user.password);
      await database.transact((tx) => insert(tx, parts, { ...user, passwordHash }));
    },
    list: async () => (await listUsers(database.read)).map(infoOf),
    setPassword: async (name, password) => {
      const passwordHash = await hashPassword(password);
      await database.transact(async (tx) => {
        const user = await theUser(tx, name);
        const credentialVersion = user.credentialVersion + 1;
        await setPassword(tx, user.id, { passwordHash, credentialVersion, mustChangePassword: false });
      });
    },
    setDisabled: (name, disabled) =>
      database.transact(async (tx) => {
        const user = await theUser(tx, name);
        if (disabled) await keepAnAdministrator(tx, user);
        await updateOwner(tx, user.ownerId, { disabled });
      }),
    remove: (name) =>
      database.transact(async (tx) => {
        const user = await theUser(tx, name);
        await keepAnAdministrator(tx, user);
        const channels = await listChannels(tx, user.ownerId);
        if (channels.length > 0) throw conflict(`${name} still has ${channels.length} channel(s). Delete them first.`);
        await deleteUser(tx, user.id);
        await deleteOwner(tx, user.ownerId);
      }),
    isEmpty: async () => (await listUsers(database.read)).length === 0,
  };
}

async function insert(tx: Transaction, parts: UsersParts, user: NewUser & { passwordHash: string }): Promise<void> {
  if (await findOwner(tx, user.name)) throw conflict(`The name ${user.name} is taken.`);
  await forgetAccount(tx, user.name);
  const created = parts.clock.now();
  const owner = await insertOwner(tx, {
    kind: "user",
    name: user.name.toLowerCase(),
    visibility: parts.defaultVisibility,
    created,
  });
  const { passwordHash, isAdmin } = user;
  await insertUser(tx, { ownerId: owner.id, passwordHash, isAdmin, email: "" });
}

/** A server without a live administrator could never be managed again. */
async function keepAnAdministrator(tx: Transaction, leaving: UserWithOwner): Promise<void> {
  const users = await listUsers(tx);
  const others = users.filter((user) => user.isAdmin && !user.owner.disabled && user.id !== leaving.id);
  if (leaving.isAdmin && others.length === 0) throw conflict(`${leaving.owner.name} is the only administrator left.`);
}

async function theUser(reader: Reader, name: string): Promise<UserWithOwner> {
  const user = await findUser(reader, name);
  if (!user) throw notFound(`There is no user ${name}.`);
  return user;
}

function infoOf(user: UserWithOwner): UserInfo {
  const { name, disabled, visibility, created } = user.owner;
  return { name, admin: user.isAdmin, disabled, visibility, created };
}
