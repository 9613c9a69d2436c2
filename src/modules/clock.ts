// The only source of the time, so that tests can set it.

import { uptime } from "node:os";

export type Clock = {
  /** Milliseconds UTC. */
  now(): number;
  /** Milliseconds that never go back, from an arbitrary start; for measuring, not for dates. */
  elapsed(): number;
};

export const systemClock: Clock = { now: () => Date.now(), elapsed: () => performance.now() };

/** Returns a function for the CPU time in ms that this thread has used since; waits and other threads do not count. */
export function startBusyTime(): () => number {
  const start = process.threadCpuUsage();
  return () => {
    const { user, system } = process.threadCpuUsage(start);
    return (user + system) / 1000;
  };
}

/** When the machine was booted, in ms UTC: data written before that and not made durable can be lost. */
export function machineStart(): number {
  return Date.now() - uptime() * 1000;
}
