// condarium serve

import { Command } from "commander";
import type { App } from "../app.ts";
import { SETTING_NAMES, type Config, type LoadedConfig } from "../config.ts";
import { COMMAND_LINE } from "../services/actor.ts";
import { namingDatabase } from "./management.ts";
import { configOf, withSettings } from "./options.ts";
import type { Output } from "./output.ts";
import type { Logger } from "../modules/log.ts";
import type { RunningServer } from "./server.ts";

export function serveCommand(output: Output, result: { code: number }): Command {
  return withSettings(new Command("serve"), SETTING_NAMES)
    .description("run the server")
    .action(async (_: unknown, command: Command) => {
      result.code = await serve(configOf(command), output);
    });
}

/** Runs until a signal or a fatal error; returns the exit code. */
async function serve(loaded: LoadedConfig, output: Output): Promise<number> {
  const [{ createLogger }, { createFailpoints }, { startServer }, { endOnSignals }] = await Promise.all([
    import("../modules/log.ts"),
    import("../modules/failpoints.ts"),
    import("./server.ts"),
    import("./signals.ts"),
  ]);
  const { config } = loaded;
  const log = createLogger({ level: config["log-level"] });
  const ending = endOnSignals(log);
  const failpoint = loaded.failpoints === undefined ? undefined : createFailpoints(loaded.failpoints);
  const server = await startServer({ config, log, failpoint, onFatal: ending.fail });
  try {
    await firstStart(server.app, server.publicUrl, config, output);
    if (server.needsPublicUrl) warnOfLinks(server, log, output);
    log.info({ event: "started", url: server.publicUrl, address: server.address }, `listening on ${server.address}`);
    const code = await ending.code;
    await server.stop();
    log.info({ event: "stopped" }, "stopped");
    return code;
  } catch (error) {
    await server.stop();
    throw namingDatabase(error, config);
  }
}

function warnOfLinks({ publicUrl, address }: RunningServer, log: Logger, output: Output): void {
  const port = address.slice(address.lastIndexOf(":"));
  const text =
    `Links begin with ${publicUrl}, which is wrong on other machines, until public-url is set. ` +
    `Set it to the URL that clients use, for example --public-url http://conda.example.com${port}.`;
  log.warn({ event: "public-url-missing" }, text);
  output.line(text);
}

/** Creates the administrator of an empty server and prints the first steps. The password is shown only this once. */
async function firstStart(app: App, publicUrl: string, config: Config, output: Output): Promise<void> {
  if (!(await app.users.isEmpty())) return;
  const [{ createPassword }, { PACKAGE_TYPES }] = await Promise.all([
    import("../modules/ids.ts"),
    import("../package-types.ts"),
  ]);
  const password = createPassword();
  await app.users.create(COMMAND_LINE, { name: "admin", password, isAdmin: true });
  const hints = PACKAGE_TYPES.all.flatMap((type) => type.hints({ publicUrl, owner: "admin", channel: "main" }));
  output.line("This is the first start: created an administrator.");
  output.line(`  user:     admin\n  password: ${password}`);
  output.line(
    `Store the password: it is not shown again. New channels are ${config["default-visibility"]}. First steps:`,
  );
  for (const hint of hints) output.line(`  ${hint}`);
}
