// The table of commands. Each command imports its services when it runs, so that `version` starts fast.

import { Command, CommanderError } from "commander";
import { auditCommand } from "./audit.ts";
import { backupCommand } from "./backup.ts";
import { channelCommand } from "./channel.ts";
import { addCompletion } from "./completion.ts";
import { configCommand } from "./config.ts";
import { gcCommand } from "./gc.ts";
import { healthCommand } from "./health.ts";
import { everyCommand, HELP_OF_COMMAND, helpCommand } from "./help.ts";
import { EXIT, reportError, terminal, type Output } from "./output.ts";
import { nameCommand } from "./name.ts";
import { orgCommand } from "./org.ts";
import { PROCESS_COMMAND } from "./process-command.ts";
import { quarantineCommand } from "./quarantine.ts";
import { reindexCommand } from "./reindex.ts";
import { restoreCommand } from "./restore.ts";
import { robotCommand } from "./robot.ts";
import { serveCommand } from "./serve.ts";
import { teamCommand } from "./team.ts";
import { tokenCommand } from "./token.ts";
import { userCommand } from "./user.ts";
import { verifyCommand } from "./verify.ts";
import { versionCommand, versionText } from "./version.ts";

const COMMANDS = [
  serveCommand,
  userCommand,
  orgCommand,
  teamCommand,
  robotCommand,
  tokenCommand,
  channelCommand,
  quarantineCommand,
  auditCommand,
  nameCommand,
  verifyCommand,
  reindexCommand,
  gcCommand,
  backupCommand,
  restoreCommand,
  healthCommand,
  configCommand,
  versionCommand,
];

/** Runs one command line and returns the exit code. */
export async function run(args: readonly string[], output: Output = terminal): Promise<number> {
  // No command for people: the server starts its processes with it.
  if (args[0] === PROCESS_COMMAND) return await (await import("./process.ts")).serveAsProcess(output);
  const result = { code: EXIT.done as number };
  const program = createProgram(output, result);
  addCompletion(program, output, args);
  try {
    await program.parseAsync(args.length === 0 ? ["--help"] : [...args], { from: "user" });
    return result.code;
  } catch (error) {
    // Commander has printed the error; printing help ends here too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    return reportError(output, error);
  }
}

function createProgram(output: Output, result: { code: number }): Command {
  const program = new Command("condarium")
    .description("A self-hosted registry for conda packages.")
    .version(versionText(), "-V, --version", "print the version");
  for (const create of COMMANDS) program.addCommand(create(output, result));
  program.addCommand(helpCommand(program));
  for (const command of everyCommand(program)) {
    if (command !== program && command.commands.length > 0) command.helpCommand("help [command]", HELP_OF_COMMAND);
    command
      .exitOverride()
      .allowExcessArguments(false)
      .helpOption("-h, --help", "print help")
      .showHelpAfterError(`Try '${fullName(command)} --help' for more information.`)
      .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "condarium: ")) });
  }
  return program;
}

/** `condarium user create` */
function fullName(command: Command): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();
}
