// condarium name list | release

import { Command } from "commander";
import { COMMAND_LINE } from "../services/actor.ts";
import { withManagement } from "./management.ts";
import { PLACE, withSettings } from "./options.ts";
import { when, type Output } from "./output.ts";

export function nameCommand(output: Output): Command {
  return new Command("name")
    .description("manage the names of deleted and renamed owners, which are held for a while")
    .addCommand(listCommand(output))
    .addCommand(releaseCommand(output));
}

function listCommand(output: Output): Command {
  return withSettings(new Command("list"), [...PLACE, "name-hold-days"])
    .description("list the names that nobody else can take now")
    .option("--json", "print JSON")
    .action(async (options: { json?: boolean }, command: Command) => {
      const rows = await withManagement(command, ({ names }) => names.list(COMMAND_LINE));
      output.rows(
        rows.map(({ name, until }) => ({ name, until: when(until) })),
        options.json === true,
      );
    });
}

function releaseCommand(output: Output): Command {
  return withSettings(new Command("release"), PLACE)
    .description("let anyone take a held name")
    .argument("<name>", "the held name")
    .action(async (name: string, _: unknown, command: Command) => {
      await withManagement(command, ({ names }) => names.release(COMMAND_LINE, name));
      output.note(`The name ${name} is free.`);
    });
}
