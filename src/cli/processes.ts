// `serve --processes N`: the parent process, which starts the others, restarts those that die, and answers no requests.

import { createParentApp, type ParentApp } from "../app.ts";
import type { Config, LoadedConfig } from "../config.ts";
import { usage } from "../errors.ts";
import { systemClock } from "../modules/clock.ts";
import { createFailpoints } from "../modules/failpoints.ts";
import { createLogger, type Logger } from "../modules/log.ts";
import { createGrants } from "../sharing.ts";
import { createChildren } from "./children.ts";
import { firstStart, warnOfLinks } from "./first-start.ts";
import { localUrl } from "./local-url.ts";
import { namingDatabase } from "./management.ts";
import type { Output } from "./output.ts";
import { createTotals } from "./process-metrics.ts";
import { listen, listenMetrics, starting } from "./server.ts";
import { endOnSignals } from "./signals.ts";

/** Runs until a signal, or until a process cannot be kept alive; returns the exit code. */
export async function serveProcesses(loaded: LoadedConfig, output: Output): Promise<number> {
  // Elsewhere the system gives all connections to one of the processes that share a port, or shares none.
  if (process.platform !== "linux") throw usage("processes must be 1 on this system: only Linux can share a port.");
  const { config } = loaded;
  const log = createLogger({ level: config["log-level"] });
  const ending = endOnSignals(log);
  await using opened = new AsyncDisposableStack();
  const { port, free } = reservePort(config);
  opened.defer(free);
  const { url, address, isEverywhere } = localUrl(config.listen, port);
  const publicUrl = config["public-url"] ?? url;
  const metricsPort = listenMetrics(config);
  opened.defer(() => void metricsPort?.server.stop(true));
  const failpoint = loaded.failpoints === undefined ? undefined : createFailpoints(loaded.failpoints);
  const app = opened.adopt(
    await createParentApp({ config, log, publicUrl, failpoint, onFatal: ending.fail }),
    ({ close }) => close(),
  );
  try {
    await firstStart(app.users, publicUrl, config, output);
    if (isEverywhere && config["public-url"] === undefined) warnOfLinks({ publicUrl, address }, log, output);
    free();
    const children = childrenOf(loaded, { app, log, address, fail: ending.fail });
    metricsPort?.serve({ render: children.render, contentType: app.metrics.contentType });
    if ((await Promise.race([children.ready, ending.code.then(() => "ending")])) !== "ending")
      log.info({ event: "started", url: publicUrl, address, processes: config.processes }, `listening on ${address}`);
    const code = await ending.code;
    await children.stop();
    log.info({ event: "stopped" }, "stopped");
    return code;
  } catch (error) {
    throw namingDatabase(error, config);
  }
}

type ChildrenParts = {
  readonly app: ParentApp;
  readonly log: Logger;
  readonly address: string;
  readonly fail: (error: unknown) => void;
};

function childrenOf({ config, failpoints }: LoadedConfig, { app, log, address, fail }: ChildrenParts) {
  const granted = createGrants(config, { clock: systemClock });
  const start = { config: { ...config, listen: address }, failpoints, parent: process.pid };
  const totals = createTotals({ own: app.metrics, ask: () => children.ask("metrics") });
  const children = createChildren({
    count: config.processes,
    log,
    onGiveUp: fail,
    stopSeconds: config["shutdown-timeout"],
    partsOf: (slot) => ({
      grants: granted.grants,
      calls: { ...granted.calls, start: () => ({ ...start, slot }), metrics: totals.render },
    }),
    onEnd: totals.keep,
  });
  return { ...children, render: totals.render };
}

/** Proves that no other program listens there, and holds the port until the processes take it. */
function reservePort(config: Config): { readonly port: number; free(): void } {
  const server = listen("listen", config.listen, { fetch: async () => starting() });
  return { port: server.port ?? 0, free: () => void server.stop(true) };
}
