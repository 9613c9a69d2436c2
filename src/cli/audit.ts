// condarium audit

import { Command } from "commander";
import { COMMAND_LINE } from "../services/actor.ts";
import type { AuditEntry, AuditQuery } from "../services/audit-trail.ts";
import { withManagement } from "./management.ts";
import { PLACE, withSettings } from "./options.ts";
import type { Output } from "./output.ts";

export function auditCommand(output: Output): Command {
  return withSettings(new Command("audit"), PLACE)
    .description("print the audit trail, oldest first: who changed what, and what signed-in users were refused")
    .option("--since <since>", "only later events: a time such as 2026-01-31T12:00:00Z, or the cursor of an event")
    .option(
      "--actor <name>",
      "only what this user did, or this robot (ORG/ROBOT), with a password or a token; or: command line",
    )
    .option("--owner <name>", "only what concerns this owner")
    .option("--action <action>", "only this action, for example publish or token.create; user for all user.*")
    .option("--json", "print each event as a line of JSON")
    .action(async ({ json = false, ...query }: AuditQuery & { readonly json?: boolean }, command: Command) => {
      await withManagement(command, async ({ auditTrail }) => {
        for await (const items of auditTrail.pages(COMMAND_LINE, query))
          for (const item of items) output.line(json ? JSON.stringify(item) : lineOf(item));
      });
    });
}

function lineOf({ at, actor, action, target, address, outcome, detail }: AuditEntry): string {
  const from = address === null || address === "" ? "" : ` from ${address}`;
  const what = outcome === "refused" ? `was refused ${action}` : action;
  const more = JSON.stringify(detail);
  return `${at}  ${actor}${from}: ${what} ${target}${more === "{}" ? "" : `  ${more}`}`;
}
