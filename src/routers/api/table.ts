// The table of the API: the routes of each noun, with the services that they call.

import type { ApiRoute } from "./route.ts";
import { serverRoutes, type ServerRouteParts } from "./server.ts";

export type ApiTableParts = ServerRouteParts;

export function apiTable(parts: ApiTableParts): ApiRoute[] {
  return [...serverRoutes(parts)];
}
