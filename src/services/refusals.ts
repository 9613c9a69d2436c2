// Counts what signed-in callers were refused, one row of the audit trail per caller, action, target and hour. The counts
// of the last seconds are in memory: a crash loses them.

import { AppError, type Refused } from "../errors.ts";
import type { Events } from "../events.ts";
import { countRefusal, insertRefusal, refusalRows } from "../models/audit-event.ts";
import type { Database, Transaction } from "../models/database.ts";
import { lockRefusals } from "../models/locks.ts";
import type { Clock } from "../modules/clock.ts";
import { foldCase } from "../modules/fold-case.ts";
import { sha256Hex } from "../modules/hash.ts";
import { withoutTokens } from "../modules/log.ts";
import { tokenOf, userOf, type RequestActor } from "./actor.ts";
import { whoIs } from "./audit.ts";
import { channelLabel, findChannelRef } from "./channel-ref.ts";

export type Refusals = {
  /** Counts a refusal, later; does nothing for an anonymous request. */
  note(actor: RequestActor, refused: Refused): void;
  /** Stores what is in memory. */
  close(): Promise<void>;
};

export type RefusalsParts = { readonly database: Database; readonly clock: Clock; readonly events: Events };

const STORE_EVERY_MS = 3000;
/** With so many rows waiting, they are stored at once. */
const MANY = 500;
/** Further ones are not counted until these are stored. */
const MOST_WAITING = 2000;
/** Rows of a user and day. */
const MOST_A_DAY = 1000;
const HOUR_MS = 60 * 60 * 1000;

/** A row that waits. */
type Waiting = {
  readonly actor: RequestActor;
  readonly refused: Refused;
  readonly at: number;
  readonly target: string;
  times: number;
};

export function createRefusals({ database, clock, events }: RefusalsParts): Refusals {
  let waiting = new Map<string, Waiting>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let storing: Promise<void> | undefined;

  function add(key: string, one: Waiting): void {
    const same = waiting.get(key);
    if (same) same.times += one.times;
    else if (waiting.size < MOST_WAITING) waiting.set(key, one);
    else events.refusalsLost(one.times);
  }

  async function store(): Promise<void> {
    const batch = waiting;
    waiting = new Map();
    try {
      // No anonymous response depends on it.
      await database.transact((tx) => storeAll(tx, batch), { isUnseen: true });
    } catch (error) {
      if (!(error instanceof AppError)) events.internalError(error, "audit");
      for (const [key, one] of batch) add(key, one);
    }
  }

  function storeNow(): void {
    clearTimeout(timer);
    timer = undefined;
    storing ??= store().finally(() => {
      storing = undefined;
      if (waiting.size > 0) storeSoon();
    });
  }

  function storeSoon(): void {
    timer ??= setTimeout(storeNow, STORE_EVERY_MS).unref();
  }

  return {
    note: (actor, refused) => {
      const user = userOf(actor);
      if (!user) return;
      const at = clock.now();
      const target = targetOf(refused);
      const hash = sha256Hex(JSON.stringify([refused.action, target, tokenOf(actor)?.id])).slice(0, 32);
      const hour = Math.floor(at / HOUR_MS);
      add(`${Math.floor(hour / 24)} ${user.id} ${hour} ${hash}`, { actor, refused, at, target, times: 1 });
      if (waiting.size >= MANY) storeNow();
      else storeSoon();
    },
    close: async () => {
      await storing;
      if (waiting.size > 0) await store();
      clearTimeout(timer);
      if (waiting.size > 0) events.refusalsLost(waiting.values().reduce((sum, { times }) => sum + times, 0));
    },
  };
}

function targetOf({ owner, channel, type }: Refused): string {
  if (owner === undefined) return "";
  const name = foldCase(owner);
  return withoutTokens(channel === undefined ? name : channelLabel(name, channel, type)).slice(0, 500);
}

async function storeAll(tx: Transaction, batch: ReadonlyMap<string, Waiting>): Promise<void> {
  await lockRefusals(tx);
  for (const [key, one] of batch) {
    if (await countRefusal(tx, key, one.times)) continue;
    const [day = "", user = ""] = key.split(" ");
    const ofDay = `${day} ${user} `;
    if ((await refusalRows(tx, ofDay)) < MOST_A_DAY - 1) await insert(tx, key, one);
    else if (!(await countRefusal(tx, `${ofDay}rest`, one.times))) await insert(tx, `${ofDay}rest`, restOf(one));
  }
}

/** The last row of a day counts everything that has no row of its own. */
function restOf(one: Waiting): Waiting {
  return { ...one, refused: { action: "(other refusals of the day)" }, target: "" };
}

async function insert(tx: Transaction, refusal: string, { actor, refused, at, target, times }: Waiting): Promise<void> {
  const { owner = "", channel = "", type } = refused;
  // Undefined when the name belongs to nobody.
  const ref = await findChannelRef(tx, owner, channel, type);
  await insertRefusal(tx, {
    at,
    ...whoIs(actor),
    action: refused.action,
    ownerId: ref?.owner.id ?? null,
    channelId: refused.channel === undefined ? null : (ref?.channel?.id ?? null),
    target,
    subject: target,
    outcome: "refused",
    detail: "{}",
    times,
    refusal,
  });
}
