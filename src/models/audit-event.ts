// The audit trail: who changed what, when, with which token, from which address.

import type { Transaction } from "./database.ts";
import { placeholders, prepared } from "./prepared.ts";
import { auditEvent } from "./schema/index.ts";

export type AuditEventRow = typeof auditEvent.$inferSelect;

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

/** Rows of one statement: each has thirteen values, and SQLite takes 32,766. */
const ROWS = 500;

export async function insertAuditEvents(tx: Transaction, events: readonly Omit<AuditEventRow, "id">[]): Promise<void> {
  const [event] = events;
  if (event && events.length === 1) await insertEvent(tx).execute(event);
  else for (let at = 0; at < events.length; at += ROWS) await tx.insert(auditEvent).values(events.slice(at, at + ROWS));
}
