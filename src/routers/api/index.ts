// The API below /api/v1: mounts its table of routes, and does for each route what all have in common.

import { Elysia } from "elysia";
import { AppError, notFound, unauthenticated, type ErrorCode } from "../../errors.ts";
import { ANONYMOUS, type RequestActor, type RouteHelp } from "../../services/actor.ts";
import type { Health } from "../../services/health.ts";
import { actorOf } from "../actor.ts";
import { methodNotAllowed, requireFolder } from "../methods.ts";
import type { Call, Pipeline } from "../request-pipeline.ts";
import { responseOf } from "./answers.ts";
import { bodyOf } from "./body.ts";
import { NO_RESOURCE, paramsOf } from "./path.ts";
import type { ApiRoute } from "./route.ts";

export type ApiParts = {
  readonly health: Health;
  readonly publicUrl: string;
  /** The table. */
  readonly apiRoutes: readonly ApiRoute[];
};

export const API_BASE = "/api/v1";

const HELP: RouteHelp = {
  address: "The API is at /api/v1.",
  signIn: "Send a user name and password, or a token: curl --user NAME:TOKEN.",
};

/** What the services call invalid is well-formed JSON that breaks a rule; routes of Gitea can have another status. */
const CODES: ApiRoute["codes"] = { "invalid-argument": "unprocessable" };
/** What is public can be read without a credential. */
const FOR_ANONYMOUS: readonly string[] = ["open", "read", "see"];

export function mountApi(parts: ApiParts, pipeline: Pipeline, prefix: string) {
  const app = new Elysia({ name: `api${prefix}` });
  const paths = Map.groupBy(parts.apiRoutes, ({ path }) => path);
  for (const [path, rows] of paths) {
    const pattern = API_BASE + path;
    const handle = ({ request }: { request: Request }) =>
      pipeline.handle(request, pattern, (call) => dispatch(parts, call, pattern, rows));
    // The body stays a stream, because it is read only for a request that is signed in. Without a handler of its own,
    // HEAD would get the length 0 from Elysia.
    app.all(prefix + pattern, handle, { parse: "none" }).head(prefix + pattern, handle);
  }
  const rest = `${API_BASE}/*`;
  const absent = ({ request }: { request: Request }) => pipeline.handle(request, rest, failNotFound);
  return app.all(prefix + rest, absent, { parse: "none" });
}

function failNotFound(): never {
  throw notFound(NO_RESOURCE);
}

async function dispatch(parts: ApiParts, call: Call, pattern: string, rows: readonly ApiRoute[]): Promise<Response> {
  requireFolder(parts.health);
  const { method } = call.request;
  const row = rows.find((one) => one.method === (method === "HEAD" ? "GET" : method));
  if (!row) throw methodNotAllowed(method, allowedOf(rows));
  const params = paramsOf(pattern, call.context.path);
  const actor = await actorFor(call, row);
  try {
    const body = row.body && (await bodyOf(call, row.body));
    const { publicUrl } = parts;
    const { query, path } = call.context;
    const { headers } = call.request;
    return responseOf(await row.answer({ actor, params, body, query, path, publicUrl, headers }), call.request);
  } catch (error) {
    throw recoded(error, { ...CODES, ...row.codes });
  }
}

async function actorFor(call: Call, { action }: ApiRoute): Promise<RequestActor> {
  const anonymous = { ...call, identify: async () => ANONYMOUS };
  const actor = await actorOf(action === "open" ? anonymous : call, { surface: "management", help: HELP });
  if (actor.identity.kind === "anonymous" && !FOR_ANONYMOUS.includes(action))
    throw unauthenticated(`Sign in first. ${HELP.signIn}`, { log: `no credentials for ${action}` });
  return actor;
}

function allowedOf(rows: readonly ApiRoute[]): string[] {
  return rows.flatMap(({ method }) => (method === "GET" ? ["GET", "HEAD"] : [method]));
}

function recoded(error: unknown, codes: Partial<Readonly<Record<ErrorCode, ErrorCode>>>): unknown {
  const code = error instanceof AppError ? codes[error.code] : undefined;
  return error instanceof AppError && code !== undefined ? new AppError(code, error.message, error.facts) : error;
}
