// condarium serve

import { Command } from "commander";
import { SETTING_NAMES, type LoadedConfig } from "../config.ts";
import { firstStart, warnOfLinks } from "./first-start.ts";
import { namingDatabase } from "./management.ts";
import { configOf, withSettings } from "./options.ts";
import type { Output } from "./output.ts";

export function serveCommand(output: Output, result: { code: number }): Command {
  return withSettings(new Command("serve"), SETTING_NAMES)
    .description("run the server")
    .action(async (_: unknown, command: Command) => {
      const loaded = configOf(command);
      const isSeveral = loaded.config.processes > 1;
      result.code = isSeveral
        ? await (await import("./processes.ts")).serveProcesses(loaded, output)
        : await serve(loaded, output);
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
    await firstStart(server.app.users, server.publicUrl, config, output);
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
