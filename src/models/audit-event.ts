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

export async function insertAuditEvent(tx: Transaction, values: Omit<AuditEventRow, "id">): Promise<void> {
  await insertEvent(tx).execute(values);
}
