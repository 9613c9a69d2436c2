// The actor of a request, as the services take it: its identity, and the request's facts for the audit trail.

import { ANONYMOUS, type RequestActor, type RouteHelp, type Surface } from "../services/actor.ts";
import type { IdentifyOptions } from "../services/identities.ts";
import type { Call } from "./request-pipeline.ts";

export async function actorOf(
  { identify, context }: Call,
  { surface = "conda", help, ...how }: IdentifyOptions & { readonly surface?: Surface; readonly help?: RouteHelp } = {},
): Promise<RequestActor> {
  const { requestId, address } = context;
  return { kind: "request", identity: await identify(how), requestId, address, surface, help };
}

/** The sender without its credentials. */
export function anonymousActor({ context }: Call): RequestActor {
  const { requestId, address } = context;
  return { kind: "request", identity: ANONYMOUS, requestId, address, surface: "conda" };
}
