// What the signals of the operating system do to a server.

import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { systemClock } from "../modules/clock.ts";
import type { Logger } from "../modules/log.ts";
import { EXIT } from "./output.ts";

export type Ending = { readonly code: Promise<number>; fail(error: unknown): void };

/** By default these end a Bun process; SIGUSR1 is a debugger's elsewhere. */
const HARMLESS = ["SIGUSR1", "SIGUSR2"] as const;
/** npx delivers each Ctrl-C twice, within a millisecond; nobody presses it twice so fast. */
const SAME_PRESS_MS = 150;

/**
 * SIGINT, SIGTERM and SIGHUP end the server once open transfers have ended. A second SIGINT or SIGTERM ends it at once,
 * with 128 and the number of the signal as exit code, like a process without a handler.
 */
export function endOnSignals(log: Logger): Ending {
  const { promise, resolve } = Promise.withResolvers<number>();
  let stopping: number | undefined;
  const stop = (signal: NodeJS.Signals): void => {
    stopping ??= systemClock.elapsed();
    log.info({ event: "stopping", signal }, `${signal}: finishing open transfers; SIGINT or SIGTERM now ends at once`);
    resolve(EXIT.done);
  };
  const stopNow = (signal: "SIGINT" | "SIGTERM"): void => {
    log.warn({ event: "stopped-at-once", signal }, `${signal} again: open transfers are interrupted`);
    process.exit(128 + constants.signals[signal]);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (stopping === undefined) stop(signal);
      else if (systemClock.elapsed() - stopping > SAME_PRESS_MS) stopNow(signal);
    });
  }
  // nohup ignores SIGHUP on behalf of the server; a handler would undo that.
  if (!isIgnored("SIGHUP"))
    process.on("SIGHUP", () => {
      if (stopping === undefined) stop("SIGHUP");
    });
  for (const signal of HARMLESS)
    process.on(signal, () => log.info({ event: "signal", signal }, `${signal} is ignored`));
  return { code: promise, fail: failOnFaults(log, () => resolve(EXIT.failed)) };
}

/** For a process whose parent handles the signals, which a terminal and systemd send to both. Returns `fail`. */
export function leaveSignalsToParent(log: Logger, onFailure: () => void): Ending["fail"] {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", ...HARMLESS] as const) process.on(signal, () => undefined);
  return failOnFaults(log, onFailure);
}

function failOnFaults(log: Logger, onFailure: () => void): Ending["fail"] {
  const fail = (error: unknown): void => {
    log.fatal({ event: "fatal", err: error }, "fatal error: the server stops");
    onFailure();
  };
  // An unhandled rejection must not end every transfer; an exception outside a request leaves an unknown state.
  process.on("unhandledRejection", (error) =>
    log.error({ event: "unhandled-rejection", err: error }, "unhandled promise rejection"),
  );
  process.on("uncaughtException", fail);
  return fail;
}

/** Whether the process was started with this signal ignored; false where the system does not report it. */
function isIgnored(signal: NodeJS.Signals): boolean {
  try {
    const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
    return ((BigInt(`0x${mask}`) >> BigInt(constants.signals[signal] - 1)) & 1n) === 1n;
  } catch {
    return false;
  }
}
