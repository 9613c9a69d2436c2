// The router: mounts every route.

import { Elysia } from "elysia";
import { AppError, notFound } from "../errors.ts";
import { withPatience } from "../modules/patience.ts";
import type { Unread } from "../modules/unread.ts";
import { createAccessLog } from "./access-log.ts";
import { createConnections } from "./connections.ts";
import { createPipeline, type MountRoutes, type Peer, type PipelineParts } from "./request-pipeline.ts";
import { API_BASE, mountApi, type ApiParts } from "./api/index.ts";
import type { ApiRoute } from "./api/route.ts";
import { isRead } from "./methods.ts";
import { otherProtocolRoutes, type OtherProtocolParts } from "./other-protocols.ts";
import { opsRoutes, type OpsParts } from "./ops.ts";

export type RouterParts = Omit<PipelineParts, "accessLog"> &
  OpsParts &
  ApiParts &
  OtherProtocolParts & {
    readonly unread: Unread;
    /** One per package type. */
    readonly packages: readonly MountRoutes[];
  };

export type Router = {
  handle(request: Request, peer: Peer): Promise<Response>;
  /** Method and pattern of every route, for tests. */
  readonly routes: readonly { readonly method: string; readonly path: string }[];
  /** The table of the API, for tests; `routes` has each of its paths once. */
  readonly apiRoutes: readonly Pick<ApiRoute, "method" | "path" | "action">[];
  /** Logs the transfers in progress. */
  close(): void;
};

/** ms that a request may wait for a database server in total, so that its answer comes within ten seconds. */
const PATIENCE_MS = 6000;

export function createRouter(parts: RouterParts): Router {
  const accessLog = createAccessLog(parts);
  const pipeline = createPipeline({ ...parts, accessLog });
  const connections = createConnections(parts);
  // By default Elysia looks for the path after the eleventh character of the URL: wrong for hosts shorter than four.
  const app = new Elysia({ name: "condarium", handler: { standardHostname: false } })
    // First: a hook covers only the routes that are mounted after it.
    .onError(({ request, error, code }) => pipeline.handle(request, "(none)", () => fail(error, code)))
    .use(opsRoutes(parts, pipeline, ""))
    .use(otherProtocolRoutes(parts, pipeline, ""))
    .use(mountApi(parts, pipeline, ""));
  const { prefix } = parts;
  if (prefix !== "") {
    app
      .use(opsRoutes(parts, pipeline, prefix))
      .use(otherProtocolRoutes(parts, pipeline, prefix))
      .use(mountApi(parts, pipeline, prefix));
  }
  for (const mount of parts.packages) {
    app.use(mount(pipeline, ""));
    if (prefix !== "") app.use(mount(pipeline, prefix));
  }
  return {
    close: accessLog.close,
    routes: app.routes.map(({ method, path }) => ({ method, path })),
    apiRoutes: parts.apiRoutes.map(({ method, path, action }) => ({ method, path: API_BASE + path, action })),
    handle: async (sent, peer) => {
      const request = withSingleSlashes(withHost(sent));
      pipeline.setPeer(request, peer);
      const turn = connections.enter(peer);
      if (turn) await turn;
      const response = await withPatience(PATIENCE_MS, async () => {
        const replayed = pipeline.replay(request);
        return (replayed instanceof Promise ? await replayed : replayed) ?? (await app.handle(request));
      });
      const closes = connections.mustClose(request, response, peer);
      if (closes !== false && (await closes)) response.headers.set("connection", "close");
      return response;
    },
  };
}

/** With an invalid `Host`, or over HTTP/1.0, the URL of a request is only a path, which Elysia would split wrongly. */
function withHost(request: Request): Request {
  if (/^https?:/i.test(request.url)) return request;
  const path = request.url.startsWith("/") ? request.url : "/";
  return new Request(`http://localhost${path}`, request);
}

/** The longest scheme of a URL with its slashes, `https://`. */
const SCHEME_LENGTH = 8;

/** In a path of a read, slashes in a row count as one: tools join a path and a base URL that ends in a slash. */
function withSingleSlashes(request: Request): Request {
  const { url, method } = request;
  if (!url.includes("//", SCHEME_LENGTH) || !isRead(method)) return request;
  const start = url.indexOf("/", SCHEME_LENGTH);
  const path = url.slice(start).split(/[?#]/, 1)[0] ?? "";
  const rest = url.slice(start + path.length);
  return new Request(url.slice(0, start) + path.replaceAll(/\/{2,}/g, "/") + rest, {
    method,
    headers: request.headers,
  });
}

function fail(error: unknown, code: unknown): never {
  if (code === "NOT_FOUND")
    throw notFound("There is no resource at this address. A channel's address is /{owner}/{channel}.");
  throw error instanceof AppError ? error : new Error("a request failed outside its route", { cause: error });
}
