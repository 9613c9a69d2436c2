// The only place that maps errors to HTTP: problem documents (RFC 9457), without internal details.

import { AppError, unavailable, type ErrorCode } from "../../errors.ts";
import type { Events } from "../../events.ts";
import { isOutOfHandles } from "../../modules/handles.ts";

const STATUS: Readonly<Record<ErrorCode, readonly [status: number, title: string]>> = {
  malformed: [400, "Malformed request"],
  "invalid-argument": [400, "Malformed request"],
  unauthenticated: [401, "Authentication required"],
  forbidden: [403, "Permission denied"],
  "not-found": [404, "Not found"],
  "method-not-allowed": [405, "Method not allowed"],
  timeout: [408, "Request timeout"],
  conflict: [409, "Conflict"],
  "precondition-failed": [412, "Precondition failed"],
  "too-large": [413, "Too large"],
  unsupported: [415, "Unsupported content"],
  invalid: [422, "Invalid package"],
  unprocessable: [422, "Unprocessable request"],
  "hash-mismatch": [422, "Hash mismatch"],
  throttled: [429, "Too many requests"],
  usage: [400, "Malformed request"],
  unavailable: [503, "Temporarily unavailable"],
  "no-space": [507, "No space left"],
};

const CHALLENGE = 'Basic realm="condarium", charset="UTF-8", Bearer realm="condarium"';

const OUT_OF_HANDLES = unavailable("The server has no free file handles. Retry in a few seconds.", 5);

export type ProblemContext = {
  readonly request: Request;
  readonly requestId: string;
  readonly events: Events;
  readonly route: string;
};

/** The response for a thrown error. Any error except an `AppError` is reported as a plain 500. */
export function problemResponse(error: unknown, context: ProblemContext): Response {
  const known = error instanceof AppError ? error : isOutOfHandles(error) ? OUT_OF_HANDLES : undefined;
  const [status, title] = known ? STATUS[known.code] : ([500, "Internal error"] as const);
  // A fault of the server, such as a full disk: the response says little, the log gets the cause.
  if (!known || (status >= 500 && known.facts.cause !== undefined))
    context.events.internalError(error, context.route, context.requestId);
  const detail =
    known?.message ?? "The server failed. Its log has the details under the x-request-id of this response.";
  const body = { type: "about:blank", title, status, detail, ...known?.facts.members };
  const headers = new Headers({ "content-type": "application/problem+json", "cache-control": "no-store" });
  if (status === 401) headers.set("www-authenticate", CHALLENGE);
  if (known?.facts.allow !== undefined) headers.set("allow", known.facts.allow);
  if (known?.facts.vary !== undefined) headers.set("vary", known.facts.vary);
  if (known?.facts.retryAfter !== undefined) headers.set("retry-after", String(known.facts.retryAfter));
  return errorResponse(context.request, { status, headers, body });
}

/** An error in the form that clients of anaconda.org print. */
export function anacondaErrorResponse({ code, message, facts }: AppError, request: Request): Response {
  const headers = new Headers({ "content-type": "application/json", "cache-control": "no-store" });
  if (facts.allow !== undefined) headers.set("allow", facts.allow);
  return errorResponse(request, { status: STATUS[code][0], headers, body: { error: message } });
}

type ErrorParts = { readonly status: number; readonly headers: Headers; readonly body: object };

function errorResponse({ method }: Request, { status, headers, body }: ErrorParts): Response {
  const text = JSON.stringify(body);
  headers.set("content-length", String(Buffer.byteLength(text)));
  return new Response(method === "HEAD" ? null : text, { status, headers });
}
