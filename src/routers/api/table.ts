// The table of the API: the routes of each noun, with the services that they call.

import { auditRoutes, type AuditRouteParts } from "./audit.ts";
import { quarantineRoutes, type QuarantineRouteParts } from "./quarantine.ts";
import type { ApiRoute } from "./route.ts";
import { serverRoutes, type ServerRouteParts } from "./server.ts";

export type ApiTableParts = ServerRouteParts & AuditRouteParts & QuarantineRouteParts;

export function apiTable(parts: ApiTableParts): ApiRoute[] {
  return [...serverRoutes(parts), ...auditRoutes(parts), ...quarantineRoutes(parts)];
}
