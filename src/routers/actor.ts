// The actor of a request, as the services take it: its identity, and the request's facts for the audit trail.

import type { RequestActor, RouteHelp, Surface } from "../services/actor.ts";
import type { Call } from "./request-pipeline.ts";

export async function actorOf(
  { identify, context }: Call,
  { surface = "conda", help }: { readonly surface?: Surface; readonly help?: RouteHelp } = {},
): Promise<RequestActor> {
  const { requestId, address } = context;
  return { kind: "request", identity: await identify(), requestId, address, surface, help };
}
