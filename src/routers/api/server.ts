// Routes about the server itself.

import { ok } from "./answers.ts";
import { route, type ApiRoute } from "./route.ts";

export type ServerRouteParts = { readonly version: string };

export function serverRoutes({ version }: ServerRouteParts): ApiRoute[] {
  return [route({ method: "GET", path: "/version", action: "open", answer: async () => ok({ version }) })];
}
