// What surrounds every route: the request's context, its identity, its errors, its headers, its log line.

import type { AnyElysia } from "elysia";
import type { Events } from "../events.ts";
import { createRequestId } from "../modules/ids.ts";
import type { Clock } from "../modules/clock.ts";
import type { Identity } from "../services/actor.ts";
import type { Health } from "../services/health.ts";
import type { Identities } from "../services/identities.ts";
import type { CacheKey, CachedResponse, ResponseCache, CachedBody } from "./response-cache.ts";
import { splitToken } from "./raw-path.ts";
import { credentialsOf } from "./http/identity.ts";
import { problemResponse } from "./http/errors.ts";
import { setSecurityHeaders } from "./http/security-headers.ts";

export type RequestContext = {
  readonly requestId: string;
  /** The peer's address, or what a trusted proxy says it is. */
  readonly address: string;
  /** The raw path, with `/t/{token}` taken off. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** The token of the path, when it came there. */
  readonly pathToken: string | undefined;
};

/** What a route is called with. `identify` checks the credentials; a route that is open to all need not call it. */
export type Call = {
  readonly request: Request;
  readonly context: RequestContext;
  identify(): Promise<Identity>;
  /** Says that the answer is the same for everybody who asks so without credentials, while the database stands still. */
  allowCaching(body: CachedBody): void;
  /** Whether the answer may still be on its way. */
  isOpen(): boolean;
};

/** Who is on the other end of a connection. */
export type Peer = {
  readonly address: string;
  readonly port: number;
  /** Whether the answer to the request may still be on its way. */
  isOpen(): boolean;
};

/** The routes of a package type. */
export type MountRoutes = (pipeline: Pipeline) => AnyElysia;

export type Pipeline = {
  /** Runs a route and turns whatever comes of it into one finished answer. `route` is the pattern, for the metrics. */
  handle(request: Request, route: string, work: (call: Call) => Promise<Response> | Response): Promise<Response>;
  /** The answer of one who asked the very same, if it still holds. */
  replay(request: Request): Response | undefined;
  /** Tells who is on the other end; called once a request arrives. */
  setPeer(request: Request, peer: Peer): void;
};

export type PipelineParts = {
  readonly identities: Identities;
  readonly events: Events;
  readonly clock: Clock;
  readonly responseCache: ResponseCache;
  readonly health: Health;
  /** Addresses of proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[];
};

export function createPipeline(parts: PipelineParts): Pipeline {
  const { clock, responseCache } = parts;
  const peers = new WeakMap<Request, Peer>();
  const cacheKeys = new WeakMap<Request, CacheKey>();
  const addressOf = (request: Request): string =>
    clientAddress(request, peers.get(request)?.address ?? "", parts.trustedProxies);
  const isOpen = (request: Request): boolean => peers.get(request)?.isOpen() ?? false;

  function finish(answer: Answered): Response {
    const { request, context, response, route, started, user } = answer;
    response.headers.set("x-request-id", context.requestId);
    const ms = Math.round((clock.elapsed() - started) * 10) / 10;
    parts.events.requestAnswered({ ...summaryOf(request, context, response), route, ms, user });
    return response;
  }

  return {
    // A socket for both families tells addresses of IPv4 in the form of IPv6.
    setPeer: (request, peer) => {
      const { address } = peer;
      const isMapped = address.startsWith(":");
      peers.set(request, isMapped ? { ...peer, address: address.replace(/^::ffff:(?=[\d.]+$)/i, "") } : peer);
    },
    handle: async (request, route, work) => {
      const started = clock.elapsed();
      const context = contextOf(request, addressOf(request));
      let identity: Identity | undefined;
      const identify = async (): Promise<Identity> => {
        identity ??= await parts.identities.identify(credentialsOf(request, context.pathToken), context.address);
        return identity;
      };
      let body: CachedBody | undefined;
      let response: Response;
      try {
        response = await work({
          request,
          context,
          identify,
          isOpen: () => isOpen(request),
          allowCaching: (cacheable) => (body = cacheable),
        });
      } catch (error) {
        response = problemResponse(parts.health.explain(error), { request, events: parts.events, route });
      }
      // Bun gives a GET no body to leave unread, and would read what comes to its end.
      if (request.body === null && announcesBody(request)) response.headers.set("connection", "close");
      setSecurityHeaders(response.headers);
      const key = cacheKeys.get(request);
      if (key && body) responseCache.set(key, cachedResponseOf(response, body, { route, path: context.path }));
      const user = identity && identity.kind !== "anonymous" ? identity.user.owner.name : undefined;
      return finish({ request, context, response, route, started, user });
    },
    replay: (request) => {
      const key = parts.health.isFolderThere ? responseCache.keyOf(request) : undefined;
      if (!key) return undefined;
      const started = clock.elapsed();
      const known = responseCache.get(key);
      const content = known?.content({ isOpen: () => isOpen(request) });
      if (!known || content === undefined) {
        cacheKeys.set(request, key);
        return undefined;
      }
      const { status, headers, route, path } = known;
      const context = { requestId: createRequestId(), address: addressOf(request), path, pathToken: undefined };
      const response = new Response(content, { status, headers });
      parts.events.responseReplayed();
      return finish({ request, context, response, route, started, user: undefined });
    },
  };
}

type Answered = {
  readonly request: Request;
  readonly context: Omit<RequestContext, "query">;
  readonly response: Response;
  readonly route: string;
  readonly started: number;
  readonly user: string | undefined;
};

function cachedResponseOf(
  { status, headers }: Response,
  body: CachedBody,
  target: Pick<CachedResponse, "route" | "path">,
): CachedResponse {
  return { ...body, ...target, status, headers: new Headers(headers) };
}

function contextOf(request: Request, address: string): RequestContext {
  const [target, query] = rawTarget(request.url);
  const { token, path } = splitToken(target);
  return { requestId: createRequestId(), address, path, query: new URLSearchParams(query), pathToken: token };
}

/** Path and query as they were sent: the URL class would resolve and normalise, and a bad `Host` leaves no host at all. */
function rawTarget(url: string): [path: string, query: string] {
  const start = /^[a-z]+:\/\//i.test(url) ? url.indexOf("/", url.indexOf("//") + 2) : 0;
  const target = start < 0 ? "/" : (url.slice(start).split("#", 1)[0] ?? "/");
  const mark = target.indexOf("?");
  return mark < 0 ? [target, ""] : [target.slice(0, mark), target.slice(mark + 1)];
}

function clientAddress(request: Request, peer: string, trusted: readonly string[]): string {
  if (!trusted.includes(peer)) return peer;
  const hops = (request.headers.get("x-forwarded-for") ?? "").split(",").map((hop) => hop.trim());
  // The right-most hop that is not a proxy of ours is the one that a proxy of ours saw.
  const client = hops.reverse().find((hop) => hop !== "" && !trusted.includes(hop));
  return client?.slice(0, 64) ?? peer;
}

function announcesBody({ headers }: Request): boolean {
  return headers.has("transfer-encoding") || Number(headers.get("content-length") ?? 0) > 0;
}

function summaryOf(request: Request, context: Answered["context"], response: Response) {
  return {
    requestId: context.requestId,
    method: request.method,
    path: (context.pathToken === undefined ? context.path : `/t/…${context.path}`).slice(0, 500),
    status: response.status,
    bytes: request.method === "HEAD" ? 0 : Number(response.headers.get("content-length") ?? 0),
    address: context.address,
    agent: (request.headers.get("user-agent") ?? "").slice(0, 200),
  };
}
