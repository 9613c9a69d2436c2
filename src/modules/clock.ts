// The only reader of the time, so that tests can set it.

import { uptime } from "node:os";

export type Clock = {
  /** Milliseconds UTC. */
  now(): number;
  /** Milliseconds from a point that never moves back; for measuring, not for dates. */
  elapsed(): number;
};

export const systemClock: Clock = { now: () => Date.now(), elapsed: () => performance.now() };

/** When the machine was started, in ms UTC: before that it may have lost what was not made durable. */
export function machineStart(): number {
  return Date.now() - uptime() * 1000;
}
