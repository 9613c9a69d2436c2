// Who changed what, when, with which token, from where.

import type { Transaction } from "./database.ts";
import { givenRow, prepared } from "./prepared.ts";
import { auditEvent } from "./schema/sqlite.ts";

type AuditEventRow = typeof auditEvent.$inferSelect;

const insertEvent = prepared((reader) =>
  reader
    .insert(auditEvent)
    .values(givenRow("at", "actorId", "tokenId", "action", "channelId", "subject", "detail", "requestId", "address"))
    .prepare(),
);

export async function insertAuditEvent(
  tx: Transaction,
  values: Omit<AuditEventRow, "id" | "detail"> & { readonly detail?: string },
): Promise<void> {
  await insertEvent(tx).execute({ detail: "{}", ...values });
}
