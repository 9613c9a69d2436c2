// Keeps a number of child processes alive: starts them, links to them, restarts those that die, and stops them all.
// Hand-written: node:cluster shares a port through its own listener, which Bun.serve does not use.

import { setTimeout as pause } from "node:timers/promises";
import { systemClock } from "../modules/clock.ts";
import type { Logger } from "../modules/log.ts";
import { createLink, type Link, type LinkParts } from "../modules/process-link.ts";
import { processCommand } from "./process-command.ts";

export type Children = {
  /** Resolves when every child has said `ready`. */
  readonly ready: Promise<void>;
  /** Calls every child; without the answers that are errors or late. By slot. */
  ask(name: string): Promise<ReadonlyMap<number, unknown>>;
  /** Tells all children to end, and waits until they have. */
  stop(): Promise<void>;
};

export type ChildrenParts = {
  readonly count: number;
  readonly log: Logger;
  readonly partsOf: (slot: number) => Omit<LinkParts, "send">;
  readonly onEnd: (slot: number) => Promise<void>;
  /** Called when a child dies at once, again and again. */
  readonly onGiveUp: (error: Error) => void;
  /** Seconds that a child takes to stop at most. */
  readonly stopSeconds: number;
};

/** A child that lives shorter died at once. */
const QUICK_MS = 2000;
const MOST_QUICK = 6;
/** Before the first restart; doubled for each further one. */
const RESTART_MS = { first: 100, longest: 5000 };
const ANSWER_MS = 1000;
/** Beyond its own deadline for open transfers. */
const KILL_MS = 10_000;

type Running = { readonly child: Bun.Subprocess; readonly link: Link };

/** The state shared by the functions of one set of children. */
type State = ChildrenParts & { readonly running: Map<number, Running>; readonly stopping: AbortController };

export function createChildren(parts: ChildrenParts): Children {
  const state: State = { ...parts, running: new Map(), stopping: new AbortController() };
  const slots = Array.from({ length: parts.count }, (_, at) => at + 1);
  const readies = slots.map(() => Promise.withResolvers<void>());
  const ends = slots.map((slot, at) => keepAlive(state, slot, () => readies[at]?.resolve()));
  return {
    ready: Promise.all(readies.map(({ promise }) => promise)).then(() => undefined),
    ask: async (name) => {
      const answers = [...state.running].map(async ([slot, { link }]) => {
        const late = pause(ANSWER_MS, undefined, { ref: false });
        return [slot, await Promise.race([link.call(name), late]).catch(() => undefined)] as const;
      });
      return new Map(await Promise.all(answers));
    },
    stop: async () => {
      state.stopping.abort();
      const kill = (): void => {
        for (const [slot, { child }] of state.running) {
          parts.log.error({ event: "process-killed", process: slot }, `process ${slot} does not end: killing it`);
          child.kill("SIGKILL");
        }
      };
      const deadline = setTimeout(kill, parts.stopSeconds * 1000 + KILL_MS);
      for (const { link } of state.running.values()) void link.call("stop").catch(() => undefined);
      await Promise.all(ends);
      clearTimeout(deadline);
    },
  };
}

/** Runs children in a slot, one after the other, until all are stopped. */
async function keepAlive(state: State, slot: number, onReady: () => void): Promise<void> {
  const { log, onGiveUp, stopping } = state;
  let [ended, quick] = [0, 0];
  while (!stopping.signal.aborted) {
    const startedAt = systemClock.elapsed();
    const how = await runOnce(state, slot, () => {
      onReady();
      if (ended > 0) log.info({ event: "process-ready", process: slot }, `process ${slot} answers again`);
    });
    if (stopping.signal.aborted) return;
    ended += 1;
    quick = systemClock.elapsed() - startedAt < QUICK_MS ? quick + 1 : 0;
    const restartMs = Math.min(RESTART_MS.first * 2 ** quick, RESTART_MS.longest);
    log.error({ event: "process-ended", process: slot, ...how }, `process ${slot} has ended: starting it again`);
    if (quick >= MOST_QUICK) {
      onGiveUp(new Error(`process ${slot} ended ${quick} times right after its start; its log lines have the reason`));
      return;
    }
    await pause(restartMs, undefined, { signal: stopping.signal }).catch(() => undefined);
  }
}

type How = { readonly code: number | null; readonly signal: Bun.Subprocess["signalCode"] };

async function runOnce(state: State, slot: number, onReady: () => void): Promise<How> {
  const { calls, ...parts } = state.partsOf(slot);
  const link = createLink({
    ...parts,
    calls: { ...calls, ready: onReady },
    send: (message) => {
      // A child that has just died is noticed by its exit.
      if (child.exitCode === null && child.signalCode === null) child.send(message);
    },
  });
  const child = Bun.spawn(processCommand(), {
    stdio: ["ignore", "inherit", "inherit"],
    ipc: (message) => link.receive(message),
  });
  state.running.set(slot, { child, link });
  if (state.stopping.signal.aborted) void link.call("stop").catch(() => undefined);
  await child.exited;
  state.running.delete(slot);
  link.close();
  await state.onEnd(slot);
  return { code: child.exitCode, signal: child.signalCode };
}
