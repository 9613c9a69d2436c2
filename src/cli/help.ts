// condarium help

import { Command } from "commander";
import { usage } from "../errors.ts";

export const HELP_OF_COMMAND = "print the help of a command";

/** Replaces commander's own help command, which ignores all names after the first. */
export function helpCommand(program: Command): Command {
  return new Command("help")
    .description(HELP_OF_COMMAND)
    .argument("[command...]", "name of the command, for example: user create")
    .action((names: readonly string[]) => commandNamed(program, names).outputHelp());
}

/** A command with all of its subcommands. */
export function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

function commandNamed(program: Command, names: readonly string[]): Command {
  let found = program;
  for (const name of names) {
    const next = found.commands.find((command) => command.name() === name);
    if (!next) throw usage(`There is no command ${names.join(" ")}. To list all commands: condarium help`);
    found = next;
  }
  return found;
}
