// The command table. Each command imports its parts when it runs, so that `version` starts fast.

import tab from "@bomb.sh/tab/commander";
import { Command, CommanderError } from "commander";
import { backupCommand } from "./backup.ts";
import { channelCommand } from "./channel.ts";
import { configCommand } from "./config.ts";
import { gcCommand } from "./gc.ts";
import { healthCommand } from "./health.ts";
import { EXIT, reportError, terminal, type Output } from "./output.ts";
import { reindexCommand } from "./reindex.ts";
import { restoreCommand } from "./restore.ts";
import { serveCommand } from "./serve.ts";
import { tokenCommand } from "./token.ts";
import { userCommand } from "./user.ts";
import { verifyCommand } from "./verify.ts";
import { versionCommand, versionText } from "./version.ts";

const COMMANDS = [
  serveCommand,
  userCommand,
  tokenCommand,
  channelCommand,
  verifyCommand,
  reindexCommand,
  gcCommand,
  backupCommand,
  restoreCommand,
  healthCommand,
  configCommand,
  versionCommand,
];

/** Runs one command line and answers the exit code. */
export async function run(args: readonly string[], output: Output = terminal): Promise<number> {
  const result = { code: EXIT.done as number };
  const program = createProgram(output, result);
  try {
    await program.parseAsync(args.length === 0 ? ["--help"] : [...args], { from: "user" });
    return result.code;
  } catch (error) {
    // Commander has said what is wrong, and asked for help ends here too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    return reportError(output, error);
  }
}

function createProgram(output: Output, result: { code: number }): Command {
  const program = new Command("condarium")
    .description("A self-hosted registry for conda packages.")
    .version(versionText(), "-V, --version", "print the version")
    .showHelpAfterError("(condarium --help lists the commands; COMMAND --help its options)")
    .showSuggestionAfterError(true);
  for (const make of COMMANDS) program.addCommand(make(output, result));
  for (const command of everyCommand(program)) command.exitOverride().allowExcessArguments(false);
  tab(program);
  return program;
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}
