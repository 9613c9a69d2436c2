// The names of owners: which are valid, and how long a freed one stays held.

import { conflict, invalidArgument, notFound } from "../errors.ts";
import type { Database, Transaction } from "../models/database.ts";
import { deleteHeldName, findHeldName, holdName, listHeldNames } from "../models/held-name.ts";
import { findOwner, updateOwner, type OwnerRow } from "../models/owner.ts";
import { listRobots } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import { foldCase } from "../modules/fold-case.ts";
import { isOwnerName } from "../modules/owner-name.ts";
import type { Access } from "./access.ts";
import { userOf, type Actor } from "./actor.ts";
import { recordAudit } from "./audit.ts";
import type { PackageTypes } from "./package-type.ts";

export type NameRules = {
  readonly types: PackageTypes;
  /** The name that the path of `public-url` takes from the owners; undefined when the URL has no path. */
  readonly reservedOwner?: string | undefined;
  /** How long nobody else can take the name of a deleted or renamed owner. */
  readonly holdMs: number;
  readonly clock: Clock;
};

/** Errors: `invalid-argument` unless an owner can have the name. */
export function requireOwnerName(
  { types, reservedOwner }: NameRules,
  kind: "user" | "organization",
  name: string,
): void {
  if (name !== reservedOwner && isOwnerName(name) && !types.all.some((type) => type.isReservedOwner(name))) return;
  throw invalidArgument(
    `Invalid ${kind} name ${JSON.stringify(name.slice(0, 80))}: use 1 to 63 of a-z, 0-9, dot, dash and ` +
      "underscore, beginning with a letter or digit, and none of the reserved words.",
  );
}

/**
 * Takes a free name, also one that is held for this owner. Errors: `conflict` when an owner has it or it is held; only
 * administrators learn which of both.
 */
export async function takeName(
  tx: Transaction,
  { holdMs, clock }: NameRules,
  actor: Actor,
  { name, ownerId }: { readonly name: string; readonly ownerId?: number },
): Promise<void> {
  if (await findOwner(tx, name)) throw conflict(`The name ${name} is taken.`);
  const held = await findHeldName(tx, name);
  if (!held) return;
  const until = held.freed + holdMs;
  if (held.ownerId !== ownerId && until > clock.now()) {
    const administers = actor.kind === "command-line" || userOf(actor)?.isAdmin === true;
    if (!administers) throw conflict(`The name ${name} is taken.`);
    throw conflict(
      `The name ${name} was freed a short time ago and is held until ${new Date(until).toISOString()}, ` +
        `so that nobody is mistaken for its former owner. To release it: condarium name release ${name}`,
    );
  }
  await deleteHeldName(tx, name);
}

/** The owner has given up its name; from now on it is held. */
export async function freeName(tx: Transaction, { clock }: NameRules, owner: OwnerRow): Promise<void> {
  await holdName(tx, { name: owner.name, ownerId: owner.id, freed: clock.now() });
}

/** Returns the new name. Errors: those of `requireOwnerName()` and `takeName()`. */
export async function renameOwner(
  tx: Transaction,
  rules: NameRules,
  { actor, owner, to }: { readonly actor: Actor; readonly owner: OwnerRow; readonly to: string },
): Promise<string> {
  const kind = owner.kind === "organization" ? "organization" : "user";
  const name = foldCase(to);
  requireOwnerName(rules, kind, name);
  await takeName(tx, rules, actor, { name, ownerId: owner.id });
  await freeName(tx, rules, owner);
  await updateOwner(tx, owner.id, { name });
  for (const robot of await listRobots(tx, owner.id))
    await updateOwner(tx, robot.ownerId, { name: name + robot.owner.name.slice(owner.name.length) });
  const event = { at: rules.clock.now(), action: `${kind}.rename`, owner: { id: owner.id, name } } as const;
  await recordAudit(tx, actor, { ...event, detail: { from: owner.name, to: name } });
  return name;
}

/** `until` in ms UTC. */
export type HeldName = { readonly name: string; readonly until: number };

/** Errors: those of `Access.require()`. */
export type OwnerNames = {
  /** The names that are held now. */
  list(actor: Actor): Promise<HeldName[]>;
  /** Lets anyone take the name. Errors: `not-found` when it is not held. */
  release(actor: Actor, name: string): Promise<void>;
};

export type OwnerNamesParts = NameRules & { readonly database: Database; readonly access: Access };

export function createOwnerNames(parts: OwnerNamesParts): OwnerNames {
  const { database, access, clock, holdMs } = parts;
  return {
    list: async (actor) => {
      await access.require(actor, "administer", { kind: "server" }, database.read);
      const rows = await listHeldNames(database.read);
      const names = rows.map(({ name, freed }) => ({ name, until: freed + holdMs }));
      return names.filter(({ until }) => until > clock.now());
    },
    release: (actor, text) =>
      database.transact(async (tx) => {
        await access.require(actor, "administer", { kind: "server" }, tx);
        const name = foldCase(text);
        const held = await findHeldName(tx, name);
        if (!held) throw notFound(`The name ${name} is not held.`);
        await deleteHeldName(tx, name);
        const owner = { id: held.ownerId, name };
        await recordAudit(tx, actor, { at: clock.now(), action: "name.release", owner });
      }),
  };
}
