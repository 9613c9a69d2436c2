// Reads the audit trail in the order in which it grows, for administrators, and for owners what concerns them.

import { invalidArgument } from "../errors.ts";
import { eventFrom, pageOfEvents, settledEventId, type AuditEventRow } from "../models/audit-event.ts";
import type { Database } from "../models/database.ts";
import { findOwner } from "../models/owner.ts";
import type { Clock } from "../modules/clock.ts";
import { foldCase } from "../modules/fold-case.ts";
import type { Access } from "./access.ts";
import type { Actor } from "./actor.ts";

export type AuditQuery = {
  /** The cursor of the last event seen, which is not included, or a time in ISO 8601; undefined: from the beginning. */
  readonly since?: string | undefined;
  /** The name of a user or robot; its tokens are included. */
  readonly actor?: string | undefined;
  readonly owner?: string | undefined;
  /** An action, or its first word: `user` includes `user.create`. */
  readonly action?: string | undefined;
};

export type AuditEntry = {
  /** The position behind this event, for `since`. */
  readonly cursor: string;
  /** ISO 8601 in UTC, to the millisecond. */
  readonly at: string;
  readonly actor: string;
  /** The token that the actor used. */
  readonly token_id: number | null;
  readonly action: string;
  readonly target: string;
  readonly address: string | null;
  readonly request_id: string | null;
  readonly outcome: "done" | "refused";
  /** For a refusal: `count`, how often it was refused in that hour, so far. */
  readonly detail: unknown;
};

export type AuditPage = { readonly items: readonly AuditEntry[]; readonly next: string | null };

/**
 * Errors of all: those of `Access.require()`; `invalid-argument` for an invalid `since`; `unavailable` while a change is
 * being committed for too long. The rights are checked for each page.
 */
export type AuditTrail = {
  /**
   * At most `limit` events. It can have fewer, also none, before the end, which is where `next` is null: a page looks at
   * the events of a tenth of a second.
   */
  page(actor: Actor, query: AuditQuery, limit: number): Promise<AuditPage>;
  /** All events that exist when it gets to them, page by page: between two pages it holds nothing of the database. */
  pages(actor: Actor, query: AuditQuery): AsyncGenerator<readonly AuditEntry[], void, undefined>;
};

export type AuditTrailParts = { readonly database: Database; readonly access: Access; readonly clock: Clock };

/** Events read at a time. */
const WINDOW = 500;
const BUDGET_MS = 100;
/** The clocks of nodes differ by less, and no change takes longer to commit. */
const SKEW_MS = 10 * 60_000;

export function createAuditTrail(parts: AuditTrailParts): AuditTrail {
  const page = async (actor: Actor, query: AuditQuery, limit: number): Promise<AuditPage> => {
    const { ownerId, isOfOwner } = await scopeOf(parts, actor, query.owner);
    const through = await settledEventId(parts.database.read);
    const { after, from } = await startOf(parts, query.since, through);
    const matches = (row: AuditEventRow): boolean => row.at >= from && isOfOwner(row) && isWanted(row, query);
    return await take(parts, { ownerId, after, from, through, matches }, limit);
  };
  return {
    page,
    pages: async function* (actor, query) {
      for (let since = query.since; ;) {
        const { items, next } = await page(actor, { ...query, since }, WINDOW);
        if (items.length > 0) yield items;
        if (next === null) return;
        since = next;
      }
    },
  };
}

type Scope = {
  /** Only the events of this owner are read. */
  readonly ownerId: number | undefined;
  readonly isOfOwner: (row: AuditEventRow) => boolean;
};

async function scopeOf({ access, database }: AuditTrailParts, actor: Actor, name: string | undefined): Promise<Scope> {
  const server = { kind: "server" } as const;
  if (name === undefined) {
    await access.require(actor, "administer", server, database.read);
    return { ownerId: undefined, isOfOwner: always };
  }
  const isAdministrator = await access.mayAdminister(actor, database.read);
  const owner = isAdministrator
    ? await findOwner(database.read, name)
    : await access.require(actor, "manage", { kind: "owner", owner: name }, database.read);
  if (owner) return { ownerId: owner.id, isOfOwner: always };
  // An owner that was deleted: its name is left.
  const folded = foldCase(name);
  return { ownerId: undefined, isOfOwner: ({ target }) => ownerIn(target) === folded };
}

function always(): boolean {
  return true;
}

/** Of a target such as `alice`, `alice/main` or `generic:alice/-`. */
function ownerIn(target: string): string {
  const [place = ""] = target.split("/", 1);
  return place.slice(place.indexOf(":") + 1);
}

/** Behind an event, without those before a time in ms UTC: the order of the events is not exactly that of their times. */
type Start = { readonly after: number; readonly from: number };

async function startOf({ database }: AuditTrailParts, since: string | undefined, through: number): Promise<Start> {
  if (since === undefined) return { after: 0, from: 0 };
  const time = timeOf(since);
  if (time !== undefined) {
    const at = async (id: number): Promise<number> =>
      (await eventFrom(database.read, id))?.at ?? Number.POSITIVE_INFINITY;
    return { after: await lastBefore(through, async (id) => (await at(id)) < time - SKEW_MS), from: time };
  }
  const start = startAt(since);
  if (start.after > through)
    throw invalidArgument("This database never had the event of this cursor: it is an earlier state. Begin again.");
  return start;
}

/** The last id from 1 to `newest` that is before, 0 if none is; whoever is behind one that is not before, is not either. */
async function lastBefore(newest: number, isBefore: (id: number) => Promise<boolean>): Promise<number> {
  let [low, high] = [0, newest];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (await isBefore(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

function isWanted(row: AuditEventRow, { actor, action }: AuditQuery): boolean {
  const isActor = actor === undefined || row.actor === actor || row.actor.startsWith(`${actor} (`);
  const isAction = action === undefined || row.action === action || row.action.startsWith(`${action}.`);
  return isActor && isAction;
}

type Range = Start & {
  readonly ownerId: number | undefined;
  readonly through: number;
  readonly matches: (row: AuditEventRow) => boolean;
};

async function take({ database, clock }: AuditTrailParts, range: Range, limit: number): Promise<AuditPage> {
  const items: AuditEntry[] = [];
  const started = clock.elapsed();
  const { from } = range;
  for (let { after } = range; ;) {
    const window = await pageOfEvents(database.read, { ...range, after }, WINDOW);
    for (const row of window) {
      if (items.length === limit) return { items, next: cursorOf({ after, from }) };
      after = row.id;
      if (range.matches(row)) items.push(entryOf(row, from));
    }
    if (window.length < WINDOW) return { items, next: null };
    if (clock.elapsed() - started > BUDGET_MS) return { items, next: cursorOf({ after, from }) };
    // Other requests have their turn.
    await Bun.sleep(0);
  }
}

function entryOf(row: AuditEventRow, from: number): AuditEntry {
  const { id, at, actor, tokenId, action, target, address, requestId, outcome } = row;
  const detail: unknown = outcome === "refused" ? { count: row.times } : JSON.parse(row.detail);
  return {
    cursor: cursorOf({ after: id, from }),
    at: new Date(at).toISOString(),
    actor,
    token_id: tokenId,
    action,
    target,
    address,
    request_id: requestId,
    outcome,
    detail,
  };
}

function cursorOf({ after, from }: Start): string {
  return Buffer.from(`audit ${after} ${from}`).toString("base64url");
}

function startAt(cursor: string): Start {
  const [, after, from] = /^audit (\d{1,15}) (\d{1,15})$/.exec(Buffer.from(cursor, "base64url").toString()) ?? [];
  const start = { after: Number(after), from: Number(from) };
  if (after !== undefined && cursorOf(start) === cursor) return start;
  throw invalidArgument("since must be the cursor of an event, or a time such as 2026-01-31 or 2026-01-31T12:00:00Z.");
}

function timeOf(text: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2}))?$/.test(text)) return undefined;
  const time = Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}
