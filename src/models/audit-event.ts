// The audit trail: who changed what, when, with which token, from which address; and who was refused what, how often.

import { and, asc, desc, eq, gt, gte, inArray, lt, lte, sql, type SQL } from "drizzle-orm";
import { unavailable } from "../errors.ts";
import { systemClock } from "../modules/clock.ts";
import type { Reader, Transaction } from "./database.ts";
import { placeholders, prepared } from "./prepared.ts";
import { engine } from "./schema/engine.ts";
import { auditEvent } from "./schema/index.ts";

export type AuditEventRow = typeof auditEvent.$inferSelect;
export type NewAuditEvent = Omit<AuditEventRow, "id" | "times" | "refusal">;

const insertEvent = prepared("insertEvent", (reader) =>
  reader
    .insert(auditEvent)
    .values(
      placeholders(
        ...(["at", "actor", "actorId", "tokenId", "action", "ownerId", "channelId"] as const),
        ...(["target", "subject", "outcome", "detail", "requestId", "address"] as const),
      ),
    ),
);

/** Values of a statement have a limit on both engines. */
const ROWS_A_STATEMENT = 500;

export async function insertAuditEvents(
  tx: Transaction,
  events: readonly (NewAuditEvent & Partial<Pick<AuditEventRow, "times" | "refusal">>)[],
): Promise<void> {
  const [event] = events;
  if (event && events.length === 1 && event.refusal === undefined) {
    await insertEvent(tx).execute(event);
    return;
  }
  for (let at = 0; at < events.length; at += ROWS_A_STATEMENT)
    await tx.insert(auditEvent).values(events.slice(at, at + ROWS_A_STATEMENT));
}

/** The events with ids in `(after, through]` by id, all of them or those that concern an owner. */
export async function pageOfEvents(
  reader: Reader,
  range: { readonly ownerId?: number | undefined; readonly after: number; readonly through: number },
  limit: number,
): Promise<AuditEventRow[]> {
  const ofOwner = range.ownerId === undefined ? undefined : eq(auditEvent.ownerId, range.ownerId);
  return await reader
    .select()
    .from(auditEvent)
    .where(and(ofOwner, gt(auditEvent.id, range.after), lte(auditEvent.id, range.through)))
    .orderBy(asc(auditEvent.id))
    .limit(limit);
}

/** The first event with this id or a greater one. */
export async function eventFrom(reader: Reader, id: number): Promise<Pick<AuditEventRow, "id" | "at"> | undefined> {
  const rows = await reader
    .select({ id: auditEvent.id, at: auditEvent.at })
    .from(auditEvent)
    .where(gte(auditEvent.id, id))
    .orderBy(asc(auditEvent.id))
    .limit(1);
  return rows[0];
}

/** How long a reader waits for changes that are being committed. */
const SETTLE_MS = 3000;
const LOOK_EVERY_MS = 10;

/**
 * The greatest id such that no event with a smaller one can still appear; 0 when there are no events.
 * On PostgreSQL a smaller id can be committed later: whoever inserts an event holds a lock of the table until the end of
 * the transaction, so those who hold one now are waited for.
 * Errors: `unavailable` when one of them does not end in time.
 */
export async function settledEventId(reader: Reader): Promise<number> {
  const [row] = await reader.select({ id: auditEvent.id }).from(auditEvent).orderBy(desc(auditEvent.id)).limit(1);
  const newest = row?.id ?? 0;
  if (engine === "sqlite") return newest;
  const before = new Set(await inserting(reader));
  const until = systemClock.elapsed() + SETTLE_MS;
  for (let running = before; running.size > 0; running = before.intersection(new Set(await inserting(reader)))) {
    if (systemClock.elapsed() > until) throw unavailable("A change is still being committed. Retry in a moment.", 2);
    await Bun.sleep(LOOK_EVERY_MS);
  }
  return newest;
}

type PostgresReader = { execute(query: SQL): Promise<readonly { readonly transaction: string }[]> };

async function inserting(reader: Reader): Promise<string[]> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- readers are typed for SQLite, see schema/index.ts
  const rows = await (reader as unknown as PostgresReader).execute(
    sql`SELECT virtualtransaction AS transaction FROM pg_locks WHERE locktype = 'relation' AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND relation = 'audit_event'::regclass AND mode = 'RowExclusiveLock'`,
  );
  return rows.map(({ transaction }) => transaction);
}

/** Those of these refusals that have a row; pass at most a few thousand keys. */
export async function knownRefusals(tx: Transaction, refusals: readonly string[]): Promise<Set<string>> {
  const rows = await tx
    .select({ refusal: auditEvent.refusal })
    .from(auditEvent)
    .where(inArray(auditEvent.refusal, [...refusals]));
  return new Set(rows.flatMap(({ refusal }) => refusal ?? []));
}

/** Adds to the counts of refusals; pass at most a few thousand keys. */
export async function countRefusals(tx: Transaction, refusals: readonly string[], times: number): Promise<void> {
  await tx
    .update(auditEvent)
    .set({ times: sql`${auditEvent.times} + ${times}` })
    .where(inArray(auditEvent.refusal, [...refusals]));
}

/** The number of refusals whose keys begin with a prefix. No key has a character behind "~". */
export async function refusalRows(tx: Transaction, prefix: string): Promise<number> {
  const rows = await tx
    .select({ rows: sql<number>`count(*)`.mapWith(Number) })
    .from(auditEvent)
    .where(and(gte(auditEvent.refusal, prefix), lt(auditEvent.refusal, `${prefix}~`)));
  return rows[0]?.rows ?? 0;
}

/** The number of events older than `before` (ms UTC). */
export async function countOldEvents(reader: Reader, before: number): Promise<number> {
  const rows = await reader
    .select({ events: sql<number>`count(*)`.mapWith(Number) })
    .from(auditEvent)
    .where(lt(auditEvent.at, before));
  return rows[0]?.events ?? 0;
}

/**
 * Looks at `limit` events from the oldest on, after the id `after`, and deletes those that are older than `before`
 * (ms UTC). Returns the last id and the number of the deleted ones; undefined when there are no further events.
 */
export async function deleteOldEvents(
  tx: Transaction,
  { after, before, limit }: { readonly after: number; readonly before: number; readonly limit: number },
): Promise<{ readonly last: number; readonly deleted: number } | undefined> {
  const rows = await tx
    .select({ id: auditEvent.id })
    .from(auditEvent)
    .where(gt(auditEvent.id, after))
    .orderBy(asc(auditEvent.id))
    .limit(limit);
  const ids = rows.map(({ id }) => id);
  const last = ids.at(-1);
  if (last === undefined) return undefined;
  const deleted = await tx
    .delete(auditEvent)
    .where(and(inArray(auditEvent.id, ids), lt(auditEvent.at, before)))
    .returning({ id: auditEvent.id });
  return { last, deleted: deleted.length };
}
