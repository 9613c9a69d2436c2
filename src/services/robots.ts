// Robots: accounts of an organization that only have tokens, so that nobody's leaving stops an automatic job.

import { conflict, invalid, invalidArgument, notFound } from "../errors.ts";
import type { Database, Transaction } from "../models/database.ts";
import { deleteOwner, insertOwner, type OwnerRow } from "../models/owner.ts";
import { findTeam } from "../models/team.ts";
import { deleteUser, findAccount, insertRobot, listRobots } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import { foldCase } from "../modules/fold-case.ts";
import type { Access } from "./access.ts";
import type { Actor } from "./actor.ts";
import { recordAudit, type AuditAction } from "./audit.ts";
import { requireOrganization } from "./memberships.ts";

/** `name` is that within the organization; `account` names the robot everywhere else: `organization/name`. */
export type RobotInfo = { readonly name: string; readonly account: string; readonly created: number };

/** Errors of all: those of `Access.require()`. The service `Tokens` manages the tokens of robots by `account`. */
export type Robots = {
  /** Errors: `invalid-argument`, `conflict` when a robot or team has the name, `invalid` for too many robots. */
  create(actor: Actor, organization: string, name: string): Promise<RobotInfo>;
  list(actor: Actor, organization: string): Promise<RobotInfo[]>;
  /** Ends its tokens, places and roles. Errors: `not-found`. */
  remove(actor: Actor, organization: string, name: string): Promise<void>;
};

export type RobotsParts = { readonly database: Database; readonly access: Access; readonly clock: Clock };

const MAX_ROBOTS = 200;
const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;

export function createRobots(parts: RobotsParts): Robots {
  const { database, access, clock } = parts;
  const organize = <T>(actor: Actor, name: string, work: (tx: Transaction, organization: OwnerRow) => Promise<T>) =>
    database.transact(async (tx) => await work(tx, await requireOrganization(access, actor, "organize", name, tx)));
  return {
    create: (actor, of, name) =>
      organize(actor, of, async (tx, organization) => {
        if (!NAME.test(name))
          throw invalidArgument(
            "A robot name must have 1 to 63 of a-z, 0-9, dot, dash and underscore, beginning with a letter or digit.",
          );
        const account = `${organization.name}/${name}`;
        if ((await findAccount(tx, account)) ?? (await findTeam(tx, organization.id, name)))
          throw conflict(`The name ${account} is taken.`);
        if ((await listRobots(tx, organization.id)).length >= MAX_ROBOTS)
          throw invalid(`An organization has at most ${MAX_ROBOTS} robots.`);
        const created = clock.now();
        const owner = await insertOwner(tx, { kind: "robot", name: account, visibility: "private", created });
        await insertRobot(tx, { ownerId: owner.id, organizationId: organization.id });
        await record(tx, parts, actor, "robot.create", organization, name);
        return { name, account, created };
      }),
    list: async (actor, of) => {
      const { id, name } = await requireOrganization(access, actor, "belong", of, database.read);
      const robots = await listRobots(database.read, id);
      return robots.map(({ owner }) => ({
        name: owner.name.slice(name.length + 1),
        account: owner.name,
        created: owner.created,
      }));
    },
    remove: (actor, of, text) =>
      organize(actor, of, async (tx, organization) => {
        const name = foldCase(text);
        const robot = await findAccount(tx, `${organization.name}/${name}`);
        if (robot?.organizationId !== organization.id)
          throw notFound(`There is no robot ${organization.name}/${name}.`);
        await deleteUser(tx, robot);
        await deleteOwner(tx, robot.ownerId);
        await record(tx, parts, actor, "robot.delete", organization, name);
      }),
  };
}

async function record(
  tx: Transaction,
  { clock }: RobotsParts,
  actor: Actor,
  action: Extract<AuditAction, `robot.${string}`>,
  owner: OwnerRow,
  subject: string,
): Promise<void> {
  await recordAudit(tx, actor, { at: clock.now(), action, owner, subject });
}
