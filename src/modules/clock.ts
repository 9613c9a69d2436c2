// The only reader of the time, so that tests can set it.

export type Clock = {
  /** Milliseconds UTC. */
  now(): number;
  /** Milliseconds from a point that never moves back; for measuring, not for dates. */
  elapsed(): number;
};

export const systemClock: Clock = { now: () => Date.now(), elapsed: () => performance.now() };
