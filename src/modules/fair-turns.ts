// Shares slots fairly among users: the waiting user with the least recent work is next, and one slot is reserved for
// users without running work, so that nobody's long jobs occupy all slots.

import { AppError, unavailable } from "../errors.ts";

export type FairTurns = {
  /** Errors: `unavailable` when the queue is full or the wait too long, `throttled` when `who` has too many waiting. */
  run<T>(who: string, work: () => Promise<T>): Promise<T>;
  readonly waiting: number;
  /** Refuses all waiting work. */
  close(): void;
};

export type FairTurnsOptions = {
  /** Slots for running work. One more slot is reserved for users without running work. */
  readonly slots: number;
  /** Limit of waiting work, for all users together. */
  readonly queue: number;
  /** The same for one user. */
  readonly queuePerUser: number;
  /** Longest wait. */
  readonly patienceMs: number;
  /** Milliseconds that never go back. */
  readonly now: () => number;
  /** Default: those for the inspection of packages. */
  readonly texts?: FairTurnsTexts;
};

/** What is refused and what to do next: the queue is full, the wait is too long, a user has too many waiting. */
export type FairTurnsTexts = {
  readonly full: string;
  readonly tooLong: string;
  readonly tooMany: (who: string, limit: number) => string;
};

const INSPECTION: FairTurnsTexts = {
  full: "Too many packages are waiting for inspection. Retry in a few seconds.",
  tooLong: "The server is busy with other packages. Send this package again later.",
  tooMany: (who, limit) =>
    `${who} has ${limit} packages waiting for inspection, which is the limit. Send the others later.`,
};

type Waiter = { readonly since: number; start(): void; refuse(error: AppError): void };

/** Running work, with its start time. */
type Job = { readonly startedAt: number };

type User = {
  /** Milliseconds of finished work as of `usedAt`; halves every `HALF_LIFE_MS`. */
  used: number;
  usedAt: number;
  readonly running: Set<Job>;
  readonly waiters: Set<Waiter>;
};

const HALF_LIFE_MS = 60_000;
/** With this many users stored, idle users are forgotten. */
const MAX_USERS = 10_000;

/** The state shared by all turns. */
type State = Required<FairTurnsOptions> & {
  readonly users: Map<string, User>;
  /** The users with running or waiting work. */
  readonly present: Set<User>;
  active: number;
  waiting: number;
};

export function createFairTurns(options: FairTurnsOptions): FairTurns {
  const state: State = { texts: INSPECTION, ...options, users: new Map(), present: new Set(), active: 0, waiting: 0 };
  return {
    get waiting() {
      return state.waiting;
    },
    run: async (who, work) => {
      if (state.waiting >= state.queue) throw unavailable(state.texts.full, 5);
      const user = userOf(state, who);
      if (user.waiters.size >= state.queuePerUser) throw tooMany(state, who);
      const job = await turnOf(state, user);
      try {
        return await work();
      } finally {
        state.active -= 1;
        user.running.delete(job);
        const at = state.now();
        [user.used, user.usedAt] = [decayed(user, at) + at - job.startedAt, at];
        settle(state, user);
      }
    },
    close: () => {
      const error = unavailable("The server is shutting down.", 5);
      const waiting = [...state.present].flatMap(({ waiters }) => [...waiters]);
      for (const waiter of waiting) waiter.refuse(error);
    },
  };
}

function userOf({ users, present }: State, who: string): User {
  const known = users.get(who);
  if (known) return known;
  if (users.size >= MAX_USERS) for (const [name, other] of users) if (!present.has(other)) users.delete(name);
  const user: User = { used: 0, usedAt: 0, running: new Set(), waiters: new Set() };
  users.set(who, user);
  return user;
}

async function turnOf(state: State, user: User): Promise<Job> {
  return await new Promise((resolve, reject) => {
    const leave = (): void => {
      clearTimeout(timer);
      user.waiters.delete(waiter);
      state.waiting -= 1;
    };
    const start = (): void => {
      leave();
      state.active += 1;
      const job = { startedAt: state.now() };
      user.running.add(job);
      resolve(job);
    };
    const refuse = (error: AppError): void => {
      leave();
      settle(state, user);
      reject(error);
    };
    const waiter = { since: state.now(), start, refuse };
    const tooLong = (): void => refuse(unavailable(state.texts.tooLong, 30));
    const timer = setTimeout(tooLong, state.patienceMs);
    user.waiters.add(waiter);
    state.waiting += 1;
    state.present.add(user);
    startNext(state);
  });
}

function settle(state: State, user: User): void {
  if (user.running.size + user.waiters.size === 0) state.present.delete(user);
  startNext(state);
}

function startNext(state: State): void {
  for (let next = nextOf(state); next !== undefined; next = nextOf(state)) next.start();
}

/** The first waiter of the user with the least recent work, among the users that are allowed to start. */
function nextOf(state: State): Waiter | undefined {
  const at = state.now();
  let best: { readonly waiter: Waiter; readonly used: number } | undefined;
  for (const user of state.present) {
    const [waiter] = user.waiters;
    if (waiter === undefined || !canStart(state, user)) continue;
    let used = decayed(user, at);
    for (const { startedAt } of user.running) used += at - startedAt;
    if (!best || used < best.used || (used === best.used && waiter.since < best.waiter.since)) best = { waiter, used };
  }
  return best?.waiter;
}

/** A single user gets all slots, several users an equal share; the reserved slot is only for a user's first job. */
function canStart({ active, slots, present }: State, { running }: User): boolean {
  if (running.size === 0) return active <= slots;
  return active < slots && running.size < Math.floor(slots / present.size);
}

function tooMany({ texts, queuePerUser }: State, who: string): AppError {
  return new AppError("throttled", texts.tooMany(who, queuePerUser), { retryAfter: 5 });
}

function decayed({ used, usedAt }: User, at: number): number {
  return used * 2 ** ((usedAt - at) / HALF_LIFE_MS);
}
