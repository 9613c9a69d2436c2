// condarium token create | list | revoke

import { Command, InvalidArgumentError } from "commander";
import { COMMAND_LINE } from "../services/actor.ts";
import { withManagement } from "./management.ts";
import { withSettings } from "./options.ts";
import { when, type Output } from "./output.ts";

type CreateOptions = {
  readonly name: string;
  readonly scope: readonly string[];
  readonly channel: readonly string[];
  readonly packages: readonly string[];
  readonly expires?: number;
};

export function tokenCommand(output: Output): Command {
  return new Command("token")
    .description("manage access tokens")
    .addCommand(createCommand(output))
    .addCommand(listCommand(output))
    .addCommand(revokeCommand(output));
}

function createCommand(output: Output): Command {
  return withSettings(new Command("create"), ["data"])
    .description("create a token and print it, and nothing else, on standard output")
    .argument("<user>", "whose rights the token narrows")
    .requiredOption("--name <name>", "what to call it")
    .option(
      "--scope <scope>",
      "read:package, write:package, delete:package, manage:channel, all, public-only",
      many,
      [],
    )
    .option("--channel <owner/channel>", "only for this channel; * stands for anything; may be repeated", many, [])
    .option("--packages <pattern>", "only for packages of such names, as my-*; may be repeated", many, [])
    .option("--expires <time>", "how long it lasts, as 90d, 12h or 30m", lifetime)
    .action(async (user: string, options: CreateOptions, command: Command) => {
      const { name, scope, channel, packages, expires } = options;
      const request = { user, name, scopes: scope, channels: channel, packages, lifetime: expires };
      const token = await withManagement(command, ({ tokens }) => tokens.create(COMMAND_LINE, request));
      output.line(token);
      if (scope.length === 0) output.note("The token can only read; --scope write:package lets it publish.");
    });
}

function listCommand(output: Output): Command {
  return withSettings(new Command("list"), ["data"])
    .description("list a user's tokens; the tokens themselves are not kept")
    .argument("<user>")
    .option("--json", "print JSON")
    .action(async (user: string, options: { json?: boolean }, command: Command) => {
      const tokens = await withManagement(command, (management) => management.tokens.list(COMMAND_LINE, user));
      const rows = tokens.map(({ name, scopes, channels, packages, created, expires, lastUsed, revoked }) => ({
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
  return withSettings(new Command("revoke"), ["data"])
    .description("end a token at once")
    .argument("<user>")
    .argument("<name>", "what the token is called")
    .action(async (user: string, name: string, _: unknown, command: Command) => {
      await withManagement(command, ({ tokens }) => tokens.revoke(COMMAND_LINE, user, name));
      output.note(`The token ${name} of ${user} is revoked.`);
    });
}

function many(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

/** `90d` in milliseconds. */
function lifetime(text: string): number {
  const units: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };
  const match = /^(\d{1,6})([mhd])$/.exec(text);
  const unit = units[match?.[2] ?? ""];
  if (!match || unit === undefined) throw new InvalidArgumentError("It must be a number with m, h or d: 90d.");
  return Number(match[1]) * unit;
}
