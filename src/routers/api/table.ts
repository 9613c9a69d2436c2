// The table of the API: the routes of each noun, with the services that they call.

import { auditRoutes, type AuditRouteParts } from "./audit.ts";
import { quarantineRoutes, type QuarantineRouteParts } from "./quarantine.ts";
import { channelRoutes, type ChannelRouteParts } from "./channels.ts";
import { memberRoutes, type MemberRouteParts } from "./members.ts";
import { organizationRoutes, type OrganizationRouteParts } from "./organizations.ts";
import { packageRoutes, type PackageRouteParts } from "./packages.ts";
import { robotRoutes, type RobotRouteParts } from "./robots.ts";
import type { ApiRoute } from "./route.ts";
import { serverRoutes, type ServerRouteParts } from "./server.ts";
import { teamRoutes, type TeamRouteParts } from "./teams.ts";
import { tokenRoutes, type TokenRouteParts } from "./tokens.ts";
import { transferRoutes, type TransferRouteParts } from "./transfers.ts";
import { twoFactorRoutes, type TwoFactorRouteParts } from "./two-factor.ts";
import { userRoutes, type UserRouteParts } from "./users.ts";

export type ApiTableParts = ServerRouteParts &
  UserRouteParts &
  TokenRouteParts &
  TwoFactorRouteParts &
  AuditRouteParts &
  QuarantineRouteParts &
  ChannelRouteParts &
  MemberRouteParts &
  OrganizationRouteParts &
  TeamRouteParts &
  RobotRouteParts &
  PackageRouteParts &
  TransferRouteParts;

export function apiTable(parts: ApiTableParts): ApiRoute[] {
  return [
    ...serverRoutes(parts),
    ...userRoutes(parts),
    ...tokenRoutes(parts),
    ...twoFactorRoutes(parts),
    ...auditRoutes(parts),
    ...quarantineRoutes(parts),
    ...channelRoutes(parts),
    ...memberRoutes(parts),
    ...organizationRoutes(parts),
    ...teamRoutes(parts),
    ...robotRoutes(parts),
    ...packageRoutes(parts),
    ...transferRoutes(parts),
  ];
}
