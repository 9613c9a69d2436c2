// One of several processes of a server: answers requests until its parent stops it, or ends.

import { unavailable, usage } from "../errors.ts";
import { createLogger, type Logger } from "../modules/log.ts";
import { createFailpoints } from "../modules/failpoints.ts";
import { createLink, type Link } from "../modules/process-link.ts";
import { sharedThrough } from "../sharing.ts";
import { EXIT, reportError, type Output } from "./output.ts";
import { PROCESS_COMMAND, processStart, type ProcessStart } from "./process-command.ts";
import { startServer, type RunningServer } from "./server.ts";
import { leaveSignalsToParent } from "./signals.ts";

/** Returns the exit code. */
export async function serveAsProcess(output: Output): Promise<number> {
  const send = process.send?.bind(process);
  if (!send) {
    const text = `${PROCESS_COMMAND} is for the server's own processes. Start them with: condarium serve --processes 2.`;
    return reportError(output, usage(text));
  }
  try {
    return await serveBehind(send);
  } catch (error) {
    return reportError(output, error);
  } finally {
    process.removeAllListeners("disconnect");
    process.disconnect?.();
  }
}

async function serveBehind(send: (message: unknown) => void): Promise<number> {
  const stopping = Promise.withResolvers<number>();
  let server: RunningServer | undefined;
  const link = createLink({
    send,
    calls: {
      stop: () => stopping.resolve(EXIT.done),
      metrics: async () => (await server?.app.metrics.snapshot()) ?? [],
    },
  });
  process.on("message", link.receive);
  let log: Logger | undefined;
  // Without a parent nobody counts, and another server may start: nothing is finished, as after a kill.
  process.on("disconnect", () => {
    log?.fatal({ event: "parent-ended" }, "the server's main process has ended: this process ends too");
    process.exit(EXIT.failed);
  });
  const start = processStart.parse(await link.call("start"));
  log = createLogger({ level: start.config["log-level"], process: start.slot });
  const fail = leaveSignalsToParent(log, () => stopping.resolve(EXIT.failed));
  server = await startBehind(link, start, { log, onFatal: fail });
  await link.call("ready");
  const code = await stopping.promise;
  await server.stop();
  return code;
}

type Reporting = { readonly log: Logger; readonly onFatal: (error: unknown) => void };

async function startBehind(link: Link, start: ProcessStart, { log, onFatal }: Reporting): Promise<RunningServer> {
  const { config, slot, failpoints, parent } = start;
  const failpoint = failpoints === undefined ? undefined : createFailpoints(failpoints);
  const requireParent = (): void => {
    if (process.ppid !== parent) throw unavailable("The server's main process has ended.", 5);
  };
  const shared = sharedThrough(link, { slot, processes: config.processes, requireParent });
  return await startServer({ config, log, failpoint, onFatal, shared });
}
