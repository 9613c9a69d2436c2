// Requests in the upload protocols of other registries, until the server has them: the response names an upload that
// works. It is the same for everyone and for every path: no credential is checked and no body is read.

import { Elysia } from "elysia";
import { AppError, notFound } from "../errors.ts";
import { anacondaErrorResponse } from "./http/errors.ts";
import { CHANNEL_METHODS } from "./methods.ts";
import type { Call, Pipeline } from "./request-pipeline.ts";

export type OtherProtocolParts = { readonly publicUrl: string };

type Answer = (call: Call, help: string) => Response;
/** `ALL` covers every method; the others share their address with the short form of channels. */
type Row = readonly [method: "ALL" | "POST" | "PATCH", path: string, answer: Answer];

const QUETZ = refusing("quetz", []);
const CLOUDSMITH = refusing("Cloudsmith", CHANNEL_METHODS);
/** rattler sends the body up to three times more after every status except a few, of which 404 fits. */
const PREFIX: Answer = (_, help) => {
  throw notFound(textOf("prefix.dev", help));
};

const ROWS: readonly Row[] = [
  ["ALL", "/api/channels/*", QUETZ],
  ["ALL", "/api/v1/upload/*", PREFIX],
  ["ALL", "/api/anaconda", anacondaAnswer],
  ["ALL", "/api/anaconda/*", anacondaAnswer],
  ...["package", "release", "stage", "commit", "dist"].flatMap((word): Row[] => [
    ["POST", `/${word}/*`, anacondaAnswer],
    ["PATCH", `/${word}/*`, anacondaAnswer],
  ]),
  ...["files", "packages", "repos"].map((word): Row => ["POST", `/${word}/*`, CLOUDSMITH]),
];

export function otherProtocolRoutes({ publicUrl }: OtherProtocolParts, pipeline: Pipeline, prefix: string) {
  const app = new Elysia({ name: `other-protocols${prefix}` });
  const help = uploadHelp(publicUrl);
  for (const [method, path, answer] of ROWS) {
    const handle = ({ request }: { request: Request }) => pipeline.handle(request, path, (call) => answer(call, help));
    app.route(method, prefix + path, handle, { parse: "none" });
  }
  return app;
}

/** The lines for an upload; the first 512 characters of a response are all that rattler prints. */
export function uploadHelp(publicUrl: string): string {
  const base = `${publicUrl}/api/packages/OWNER/conda`;
  return (
    "Upload with PUT /api/packages/OWNER/conda/CHANNEL/FILE, for example: " +
    `rattler-build upload artifactory --url ${base} --channel CHANNEL --token TOKEN FILE, ` +
    `or: curl --user NAME:TOKEN --upload-file FILE ${base}/CHANNEL/`
  );
}

/** Clients of anaconda.org mark every request, also those at an address that is a channel's here. */
export function isAnacondaCall(request: Request): boolean {
  return request.headers.has("x-binstar-api-version");
}

/** A 404 would mean "no such package, go on" to these clients; they stop at 405 and print the text. */
export function anacondaAnswer({ request, context }: Call, help: string): Response {
  // anaconda-client requires this 200 before it sends a request whose error it prints.
  if (request.method === "HEAD" && /^\/api\/anaconda\/?$/.test(context.path)) {
    return new Response(null, { status: 200, headers: { "cache-control": "no-store" } });
  }
  const allowed = context.path.startsWith("/api/") ? [] : CHANNEL_METHODS;
  return anacondaErrorResponse(notAllowed("anaconda.org", allowed, help), request);
}

function refusing(protocol: string, allowed: readonly string[]): Answer {
  return (_, help) => {
    throw notAllowed(protocol, allowed, help);
  };
}

function notAllowed(protocol: string, allowed: readonly string[], help: string): AppError {
  return new AppError("method-not-allowed", textOf(protocol, help), { allow: allowed.join(", ") });
}

function textOf(protocol: string, help: string): string {
  return `This server has no uploads in the protocol of ${protocol}. ${help}`;
}
