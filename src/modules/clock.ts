// The only reader of the time, so that tests can set it.

import { uptime } from "node:os";

export type Clock = {
  /** Milliseconds UTC. */
  now(): number;
  /** Milliseconds from a point that never moves back; for measuring, not for dates. */
  elapsed(): number;
};

export const systemClock: Clock = { now: () => Date.now(), elapsed: () => performance.now() };

/** Milliseconds of a processor that the calling thread has used since this was called; no wait and no other load count. */
export function startBusyTime(): () => number {
  const start = process.threadCpuUsage();
  return () => {
    const { user, system } = process.threadCpuUsage(start);
    return (user + system) / 1000;
  };
}

/** When the machine was started, in ms UTC: before that it may have lost what was not made durable. */
export function machineStart(): number {
  return Date.now() - uptime() * 1000;
}
