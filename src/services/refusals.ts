// Counts what signed-in callers were refused, one row of the audit trail per caller, action, target and hour. The counts
// of the last seconds are in memory: a crash loses them.

import { AppError, type Refused } from "../errors.ts";
import type { Events } from "../events.ts";
import { countRefusals, insertAuditEvents, knownRefusals, refusalRows } from "../models/audit-event.ts";
import type { Database, Transaction } from "../models/database.ts";
import { lockRefusals } from "../models/locks.ts";
import { ownerIds } from "../models/owner.ts";
import type { Clock } from "../modules/clock.ts";
import { foldCase } from "../modules/fold-case.ts";
import { sha256Hex } from "../modules/hash.ts";
import { withoutTokens } from "../modules/log.ts";
import { tokenOf, userOf, type RequestActor } from "./actor.ts";
import { whoIs } from "./audit.ts";
import { channelLabel } from "./channel-ref.ts";

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

type Row = { readonly refusal: string; readonly one: Waiting };

async function storeAll(tx: Transaction, batch: ReadonlyMap<string, Waiting>): Promise<void> {
  await lockRefusals(tx);
  const known = await knownRefusals(tx, [...batch.keys()]);
  const unknown = [...batch].filter(([key]) => !known.has(key));
  const { rows, rest } = await divide(tx, unknown);
  const knownRest = await knownRefusals(tx, [...rest.keys()]);
  const all = [...batch, ...rest];
  const counted = all.filter(([key]) => known.has(key) || knownRest.has(key));
  for (const [times, same] of Map.groupBy(counted, ([, one]) => one.times)) {
    await countRefusals(
      tx,
      same.map(([key]) => key),
      times,
    );
  }
  const newRest = [...rest].filter(([key]) => !knownRest.has(key)).map(([refusal, one]) => ({ refusal, one }));
  await insert(tx, [...rows, ...newRest]);
}

/** Those that get a row, and by its key the last row of a day, which counts everything that has no row of its own. */
async function divide(
  tx: Transaction,
  unknown: readonly (readonly [string, Waiting])[],
): Promise<{ readonly rows: readonly Row[]; readonly rest: ReadonlyMap<string, Waiting> }> {
  const rows: Row[] = [];
  const rest = new Map<string, Waiting>();
  const used = new Map<string, number>();
  for (const [refusal, one] of unknown) {
    const [day = "", user = ""] = refusal.split(" ");
    const ofDay = `${day} ${user} `;
    const before = used.get(ofDay) ?? (await refusalRows(tx, ofDay));
    used.set(ofDay, before + 1);
    if (before < MOST_A_DAY - 1) rows.push({ refusal, one });
    else addTo(rest, `${ofDay}rest`, one);
  }
  return { rows, rest };
}

function addTo(rest: Map<string, Waiting>, key: string, one: Waiting): void {
  const same = rest.get(key);
  if (same) same.times += one.times;
  else rest.set(key, { ...one, refused: { action: "(other refusals of the day)" }, target: "" });
}

async function insert(tx: Transaction, rows: readonly Row[]): Promise<void> {
  const names = rows.map(({ one }) => ownerOf(one.refused));
  // Without those that belong to nobody.
  const owners = await ownerIds(tx, [...new Set(names)]);
  await insertAuditEvents(
    tx,
    rows.map(({ refusal, one: { actor, refused, at, target, times } }) => ({
      at,
      ...whoIs(actor),
      action: refused.action,
      ownerId: owners.get(ownerOf(refused)) ?? null,
      channelId: null,
      target,
      subject: target,
      outcome: "refused",
      detail: "{}",
      times,
      refusal,
    })),
  );
}

/** The owner that the refusal concerns: for a robot its organization. */
function ownerOf({ owner = "" }: Refused): string {
  return foldCase(owner).split("/", 1)[0] ?? "";
}
