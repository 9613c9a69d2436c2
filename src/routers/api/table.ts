// The table of the API: the routes of each noun, with the services that they call.

import { auditRoutes, type AuditRouteParts } from "./audit.ts";
import { quarantineRoutes, type QuarantineRouteParts } from "./quarantine.ts";
import type { ApiRoute } from "./route.ts";
import { serverRoutes, type ServerRouteParts } from "./server.ts";
import { tokenRoutes, type TokenRouteParts } from "./tokens.ts";
import { twoFactorRoutes, type TwoFactorRouteParts } from "./two-factor.ts";
import { userRoutes, type UserRouteParts } from "./users.ts";

export type ApiTableParts = ServerRouteParts &
  UserRouteParts &
  TokenRouteParts &
  TwoFactorRouteParts &
  AuditRouteParts &
  QuarantineRouteParts;

export function apiTable(parts: ApiTableParts): ApiRoute[] {
  return [
    ...serverRoutes(parts),
    ...userRoutes(parts),
    ...tokenRoutes(parts),
    ...twoFactorRoutes(parts),
    ...auditRoutes(parts),
    ...quarantineRoutes(parts),
  ];
}
