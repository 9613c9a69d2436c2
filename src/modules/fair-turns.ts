// Turns that are fair between those who ask for them: whoever has used least is next, and nobody's long work takes the
// last place from others.

import { AppError, unavailable } from "../errors.ts";

export type FairTurns = {
  /** Errors: `unavailable` when the queue is full or the wait too long, `throttled` when `who` has too much in it. */
  run<T>(who: string, work: () => Promise<T>): Promise<T>;
  readonly waiting: number;
  /** Refuses whoever waits. */
  close(): void;
};

export type FairTurnsOptions = {
  /** Work at the same time. One more place is kept for those who have none. */
  readonly places: number;
  /** Work that waits. */
  readonly queue: number;
  readonly queueOfOne: number;
  readonly patienceMs: number;
  /** Milliseconds, never going back. */
  readonly now: () => number;
};

type Waiter = { readonly since: number; begin(): void; refuse(error: AppError): void };

/** Work, and when it began. */
type Piece = { readonly at: number };

type Asker = {
  /** Milliseconds of work that has ended, worth half after a while. */
  used: number;
  usedAt: number;
  /** What is under way. */
  readonly begun: Set<Piece>;
  readonly waiters: Set<Waiter>;
};

const HALF_LIFE_MS = 60_000;
/** Of those who ask for nothing at the moment, as many are remembered. */
const REMEMBERED = 10_000;

/** What the turns share. */
type Room = FairTurnsOptions & {
  readonly askers: Map<string, Asker>;
  /** Those of them who have work under way or waiting. */
  readonly present: Set<Asker>;
  active: number;
  waiting: number;
};

export function createFairTurns(options: FairTurnsOptions): FairTurns {
  const room: Room = { ...options, askers: new Map(), present: new Set(), active: 0, waiting: 0 };
  return {
    get waiting() {
      return room.waiting;
    },
    run: async (who, work) => {
      if (room.waiting >= room.queue) throw unavailable("Too many packages wait to be read. Try again in a moment.", 5);
      const asker = askerOf(room, who);
      if (asker.waiters.size >= room.queueOfOne) throw tooMany(who, room.queueOfOne);
      const piece = await turnOf(room, asker);
      try {
        return await work();
      } finally {
        room.active -= 1;
        asker.begun.delete(piece);
        const at = room.now();
        [asker.used, asker.usedAt] = [decayed(asker, at) + at - piece.at, at];
        settle(room, asker);
      }
    },
    close: () => {
      const error = unavailable("The server is shutting down.", 5);
      const waiting = [...room.present].flatMap(({ waiters }) => [...waiters]);
      for (const waiter of waiting) waiter.refuse(error);
    },
  };
}

function askerOf({ askers, present }: Room, who: string): Asker {
  const known = askers.get(who);
  if (known) return known;
  if (askers.size >= REMEMBERED) for (const [name, one] of askers) if (!present.has(one)) askers.delete(name);
  const asker: Asker = { used: 0, usedAt: 0, begun: new Set(), waiters: new Set() };
  askers.set(who, asker);
  return asker;
}

async function turnOf(room: Room, asker: Asker): Promise<Piece> {
  return await new Promise((resolve, reject) => {
    const leave = (): void => {
      clearTimeout(timer);
      asker.waiters.delete(waiter);
      room.waiting -= 1;
    };
    const begin = (): void => {
      leave();
      room.active += 1;
      const piece = { at: room.now() };
      asker.begun.add(piece);
      resolve(piece);
    };
    const refuse = (error: AppError): void => {
      leave();
      settle(room, asker);
      reject(error);
    };
    const waiter = { since: room.now(), begin, refuse };
    const tooLong = (): void =>
      refuse(unavailable("The server is busy with other packages. Send this one again later.", 30));
    const timer = setTimeout(tooLong, room.patienceMs);
    asker.waiters.add(waiter);
    room.waiting += 1;
    room.present.add(asker);
    beginNext(room);
  });
}

function settle(room: Room, asker: Asker): void {
  if (asker.begun.size + asker.waiters.size === 0) room.present.delete(asker);
  beginNext(room);
}

function beginNext(room: Room): void {
  for (let next = nextOf(room); next !== undefined; next = nextOf(room)) next.begin();
}

/** The first waiter of whoever has used least, and who may begin. */
function nextOf(room: Room): Waiter | undefined {
  const at = room.now();
  let best: { readonly waiter: Waiter; readonly used: number } | undefined;
  for (const asker of room.present) {
    const [waiter] = asker.waiters;
    if (waiter === undefined || !mayBegin(room, asker)) continue;
    let used = decayed(asker, at);
    for (const piece of asker.begun) used += at - piece.at;
    if (!best || used < best.used || (used === best.used && waiter.since < best.waiter.since)) best = { waiter, used };
  }
  return best?.waiter;
}

/** Alone, one may have all places; beside others its share of them, and the one that is kept only as its first. */
function mayBegin({ active, places, present }: Room, { begun }: Asker): boolean {
  if (begun.size === 0) return active <= places;
  return active < places && begun.size < Math.floor(places / present.size);
}

function tooMany(who: string, limit: number): AppError {
  const message = `${who} has ${limit} packages waiting to be read, which is the limit. Send the others later.`;
  return new AppError("throttled", message, { retryAfter: 5 });
}

function decayed({ used, usedAt }: Asker, at: number): number {
  return used * 2 ** ((usedAt - at) / HALF_LIFE_MS);
}
