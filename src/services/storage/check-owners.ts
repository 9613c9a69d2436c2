// I-11: who owns something exists, and somebody can manage it.

import type { CheckedAccount, CheckedChannel, CheckedOwner } from "../../models/row-pages.ts";
import { channelLabel } from "../channel-ref.ts";
import type { Report } from "../index/repair/verify.ts";
import { OWNERS } from "../memberships.ts";

export function checkOwner({ id, kind, name, hasAccount, hasTeam, people }: CheckedOwner, report: Report): void {
  const team = `${name}/${OWNERS}`;
  if (kind !== "organization" && !hasAccount)
    report(
      "I-11",
      `${kind} ${name}`,
      "its account is missing: give its channels to another owner with condarium channel transfer, " +
        `then delete it with the SQL DELETE FROM owner WHERE id = ${id}`,
    );
  if (kind !== "organization") return;
  const add = `condarium team add ${team} USER`;
  if (!hasTeam)
    report(
      "I-11",
      `organization ${name}`,
      `it has no team ${OWNERS}: run condarium team create ${team} --role owner, then ${add}`,
    );
  else if (people === 0) report("I-11", `organization ${name}`, `nobody is in its team ${OWNERS}: run ${add}`);
}

export function checkChannel({ id, type, name, owner, ownerKind }: CheckedChannel, report: Report): void {
  if (ownerKind !== "robot") return;
  report(
    "I-11",
    `channel ${channelLabel(owner, name, type)}`,
    "its owner is a robot, which can own nothing: name another one with the SQL UPDATE channel SET owner_id = " +
      `(SELECT id FROM owner WHERE name = 'OWNER') WHERE id = ${id}`,
  );
}

export function checkAccount(account: CheckedAccount, report: Report): void {
  const { name, kind, organizationId, organizationKind } = account;
  const isRobot = organizationId !== null;
  if (kind !== (isRobot ? "robot" : "user"))
    report(
      "I-11",
      `account ${name}`,
      `it is ${isRobot ? "a robot" : "a user"} with the name of ${article(kind)}: restore a backup`,
    );
  else if (isRobot && organizationKind !== "organization")
    report("I-11", `robot ${name}`, "its organization is none: restore a backup");
}

function article(kind: string): string {
  return kind === "organization" ? "an organization" : `a ${kind}`;
}
