// condarium token create | list | revoke | find

import { Command, InvalidArgumentError, Option } from "commander";
import { COMMAND_LINE, SCOPES } from "../services/actor.ts";
import { withManagement } from "./management.ts";
import { many, PLACE, withSettings } from "./options.ts";
import { when, type Output } from "./output.ts";
import { findCommand } from "./token-find.ts";

type CreateOptions = {
  readonly name: string;
  readonly scope?: readonly string[];
  readonly channel?: readonly string[];
  readonly packages?: readonly string[];
  readonly expires?: number;
};

export function tokenCommand(output: Output, result: { code: number }): Command {
  return new Command("token")
    .description("manage access tokens")
    .addCommand(tokenCreation(output, "create", "user"))
    .addCommand(listCommand(output))
    .addCommand(revokeCommand(output))
    .addCommand(findCommand(output, result));
}

/** The command `verb`, for the tokens of users or of robots. */
export function tokenCreation(output: Output, verb: string, of: "user" | "robot"): Command {
  return withSettings(new Command(verb), PLACE)
    .description(
      `create an access token${of === "robot" ? " of a robot" : ""} and print it; standard output has only the token`,
    )
    .argument(`<${of}>`, of === "user" ? "user whose rights the token has" : "ORGANIZATION/ROBOT")
    .requiredOption("--name <name>", "name of the token")
    .addOption(
      new Option("--scope <scope>", "what the token can do, repeatable (default: read:package)")
        .choices(SCOPES)
        // The service checks them.
        .argParser(many),
    )
    .option("--channel <owner/channel>", "only this channel, repeatable; * matches any text (default: all)", many)
    .option(
      "--packages <pattern>",
      "only packages whose name matches, for example my-*; repeatable (default: all)",
      many,
    )
    .option("--expires <time>", "lifetime in m, h or d, for example 90d (default: no expiry)", lifetime)
    .action(async (user: string, options: CreateOptions, command: Command) => {
      const { name, scope = [], channel = [], packages = [], expires } = options;
      const request = { user, name, scopes: scope, channels: channel, packages, lifetime: expires };
      const { token, isAdmin } = await withManagement(command, async ({ tokens, users }) => ({
        token: await tokens.create(COMMAND_LINE, request),
        isAdmin: (await users.list(COMMAND_LINE)).some(
          ({ name: known, admin }) => admin && known === user.toLowerCase(),
        ),
      }));
      output.line(token);
      if (scope.length === 0)
        output.note("This token can only read. To publish, create one with --scope write:package.");
      if (scope.includes("read:metrics") && !isAdmin)
        output.note(`This token cannot read /metrics: ${user} is not an administrator.`);
    });
}

function listCommand(output: Output): Command {
  return withSettings(new Command("list"), PLACE)
    .description("list the tokens of a user or robot, without their secrets")
    .argument("<user>", "name of the user, or ORGANIZATION/ROBOT")
    .option("--json", "print JSON")
    .action(async (user: string, options: { json?: boolean }, command: Command) => {
      const tokens = await withManagement(command, (management) => management.tokens.list(COMMAND_LINE, user));
      const rows = tokens.map(({ id, name, scopes, channels, packages, created, expires, lastUsed, revoked }) => ({
        id,
        name,
        scopes: scopes.length === 0 ? ["read:package"] : scopes,
        channels,
        packages,
        created: when(created),
        expires: when(expires),
        lastUsed: when(lastUsed),
        revoked: when(revoked),
      }));
      output.rows(rows, options.json === true);
    });
}

function revokeCommand(output: Output): Command {
  return withSettings(new Command("revoke"), PLACE)
    .description("revoke a token; takes effect at once")
    .argument("<user>", "name of the user, or ORGANIZATION/ROBOT")
    .argument("<name>", "name of the token")
    .action(async (user: string, name: string, _: unknown, command: Command) => {
      await withManagement(command, ({ tokens }) => tokens.revoke(COMMAND_LINE, user, name));
      output.note(`Token ${name} of ${user} revoked.`);
    });
}

/** Parses a time such as `90d` into milliseconds. */
function lifetime(text: string): number {
  const units: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };
  const match = /^(\d{1,6})([mhd])$/.exec(text);
  const unit = units[match?.[2] ?? ""];
  if (!match || unit === undefined)
    throw new InvalidArgumentError("It must be a number with m, h or d, for example 90d.");
  return Number(match[1]) * unit;
}
