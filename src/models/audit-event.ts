// Who changed what, when, with which token, from where.

import type { Transaction } from "./database.ts";
import { auditEvent } from "./schema/sqlite.ts";

type AuditEventRow = typeof auditEvent.$inferSelect;

export async function insertAuditEvent(
  tx: Transaction,
  values: Omit<AuditEventRow, "id" | "detail"> & { readonly detail?: string },
): Promise<void> {
  await tx.insert(auditEvent).values(values);
}
