// Cross-origin access (CORS): web pages of every origin can read public channels, without credentials.

import type { Access } from "../../services/access.ts";
import type { ChannelTarget } from "../../services/access-rules.ts";
import { anonymousActor } from "../actor.ts";
import { methodNotAllowed } from "../methods.ts";
import type { Call } from "../request-pipeline.ts";

const PREFLIGHT = {
  "access-control-allow-methods": "GET, HEAD",
  // Validators and ranges, and the header in which rattler names the expected hash of a package.
  "access-control-allow-headers":
    "Range, If-Range, If-None-Match, If-Modified-Since, If-Match, If-Unmodified-Since, Cache-Control, X-Expected-Sha256",
  "access-control-max-age": "86400",
  "cache-control": "no-store",
} as const;

/**
 * The response to OPTIONS. Errors: `method-not-allowed`, the same for a private channel and for an absent one. Decided
 * by what anonymous requests can read: browsers send no credentials with this request.
 */
export async function preflightResponse(
  access: Access,
  call: Call,
  target: ChannelTarget,
  allowed: readonly string[],
): Promise<Response> {
  const isPublic = await access.mayRead(anonymousActor(call), target);
  if (!isPublic || call.context.pathToken !== undefined) throw methodNotAllowed("OPTIONS", allowed);
  call.allowOrigins();
  return new Response(null, { status: 204, headers: PREFLIGHT });
}
