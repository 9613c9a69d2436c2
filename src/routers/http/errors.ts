// The one place that turns errors into HTTP: problem documents (RFC 9457), never an internal.

import { AppError, unavailable, type ErrorCode } from "../../errors.ts";
import type { Events } from "../../events.ts";
import { isOutOfHandles } from "../../modules/handles.ts";

/** Where a route departs from the common table: Gitea's clients expect 400 for an invalid package. */
export type StatusOverrides = Partial<Readonly<Record<ErrorCode, number>>>;

const STATUS: Readonly<Record<ErrorCode, readonly [status: number, title: string]>> = {
  malformed: [400, "Malformed request"],
  "invalid-argument": [400, "Malformed request"],
  unauthenticated: [401, "Not signed in"],
  forbidden: [403, "Not allowed"],
  "not-found": [404, "Not found"],
  "method-not-allowed": [405, "Method not allowed"],
  timeout: [408, "Too slow"],
  conflict: [409, "Exists already"],
  "too-large": [413, "Too large"],
  unsupported: [415, "Unsupported encoding"],
  invalid: [422, "Invalid package"],
  "hash-mismatch": [422, "Hash differs"],
  throttled: [429, "Too many requests"],
  usage: [400, "Malformed request"],
  unavailable: [503, "Not available now"],
  "no-space": [507, "No space left"],
};

const CHALLENGE = 'Basic realm="condarium", charset="UTF-8", Bearer realm="condarium"';

const OUT_OF_HANDLES = unavailable("The server has used up its file handles. Try again in a moment.", 5);

export type ProblemContext = { readonly request: Request; readonly events: Events; readonly route: string };

/** The answer for whatever was thrown. Anything but an `AppError` is told as a plain 500. */
export function problemResponse(error: unknown, context: ProblemContext, overrides: StatusOverrides = {}): Response {
  const known = error instanceof AppError ? error : isOutOfHandles(error) ? OUT_OF_HANDLES : undefined;
  const [status, title] = known ? statusOf(known, overrides) : ([500, "Internal error"] as const);
  // Of a fault of our own, such as a full disk, people are told little; what was behind it is for the log.
  if (!known || (status >= 500 && known.facts.cause !== undefined)) context.events.internalError(error, context.route);
  const detail = known?.message ?? "Something went wrong on the server; its log says more under this request's id.";
  const body = { type: "about:blank", title, status, detail, ...known?.facts.members };
  const headers = new Headers({ "content-type": "application/problem+json", "cache-control": "no-store" });
  if (status === 401) headers.set("www-authenticate", CHALLENGE);
  if (known?.facts.allow !== undefined) headers.set("allow", known.facts.allow);
  if (known?.facts.vary !== undefined) headers.set("vary", known.facts.vary);
  if (known?.facts.retryAfter !== undefined) headers.set("retry-after", String(known.facts.retryAfter));
  // What is left of an upload would otherwise be read to its end.
  if (context.request.body !== null) headers.set("connection", "close");
  const text = JSON.stringify(body);
  if (context.request.method !== "HEAD") return new Response(text, { status, headers });
  headers.set("content-length", String(Buffer.byteLength(text)));
  return new Response(null, { status, headers });
}

function statusOf(error: AppError, overrides: StatusOverrides): readonly [number, string] {
  const [status, title] = STATUS[error.code];
  return [overrides[error.code] ?? status, title];
}
