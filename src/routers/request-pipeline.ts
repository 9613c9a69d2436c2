// The shared handling around every route: request context, identity, errors, headers and the log line.

import type { AnyElysia } from "elysia";
import type { Events } from "../events.ts";
import { createRequestId } from "../modules/ids.ts";
import type { Clock } from "../modules/clock.ts";
import type { Identity } from "../services/actor.ts";
import type { Health } from "../services/health.ts";
import type { Identities } from "../services/identities.ts";
import type { CacheKey, CachedResponse, ResponseCache, CachedBody } from "./response-cache.ts";
import { splitPath } from "./raw-path.ts";
import { credentialsOf } from "./http/identity.ts";
import { problemResponse } from "./http/errors.ts";
import { allowAllOrigins, setSecurityHeaders } from "./http/security-headers.ts";

export type RequestContext = {
  readonly requestId: string;
  /** The address of the peer, or the client address that a trusted proxy reports. */
  readonly address: string;
  /** The raw path, without its token and without the path of `public-url`. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** The token in the path, if any. */
  readonly pathToken: string | undefined;
};

/** The argument of a route. `identify` checks the credentials; a route that is open to all need not call it. */
export type Call = {
  readonly request: Request;
  readonly context: RequestContext;
  identify(): Promise<Identity>;
  /** Declares the response valid for identical requests without credentials until the next commit to the database. */
  allowCaching(body: CachedBody): void;
  /** Lets web pages of every origin read the response, also if it becomes an error. */
  allowOrigins(): void;
  /** Whether the response can still be in transfer. */
  isOpen(): boolean;
};

/** The remote end of a connection. */
export type Peer = {
  readonly address: string;
  readonly port: number;
  /** Whether the response to the request can still be in transfer. */
  isOpen(): boolean;
};

/** The routes of a package type, below `prefix`: `""`, or the path of `public-url`. */
export type MountRoutes = (pipeline: Pipeline, prefix: string) => AnyElysia;

export type Pipeline = {
  /** Runs a route and returns its finished response, also for an error. `route` is the pattern, for the metrics. */
  handle(request: Request, route: string, work: (call: Call) => Promise<Response> | Response): Promise<Response>;
  /** Replays the stored response when an identical request without credentials was answered since the last commit. */
  replay(request: Request): Response | undefined;
  /** Sets the peer of a request; called when the request arrives. */
  setPeer(request: Request, peer: Peer): void;
};

export type PipelineParts = {
  readonly identities: Identities;
  readonly events: Events;
  readonly clock: Clock;
  readonly responseCache: ResponseCache;
  readonly health: Health;
  /** Addresses of proxies whose `X-Forwarded-For` is trusted. */
  readonly trustedProxies: readonly string[];
  /** The path of `public-url`; every route works with it and without it. */
  readonly prefix: string;
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
    setPeer: (request, peer) => void peers.set(request, unmapped(peer)),
    handle: async (request, route, work) => {
      const started = clock.elapsed();
      const context = contextOf(request, { address: addressOf(request), prefix: parts.prefix });
      let identity: Identity | undefined;
      const identify = async (): Promise<Identity> => {
        identity ??= await parts.identities.identify(credentialsOf(request, context.pathToken), context.address);
        return identity;
      };
      let body: CachedBody | undefined;
      let isForAllOrigins = false;
      let response: Response;
      try {
        response = await work({
          request,
          context,
          identify,
          isOpen: () => isOpen(request),
          allowCaching: (cacheable) => (body = cacheable),
          allowOrigins: () => (isForAllOrigins = true),
        });
      } catch (error) {
        response = problemResponse(parts.health.explain(error), { request, events: parts.events, route });
      }
      // Bun exposes no body for a GET and would read a sent one to its end.
      if (request.body === null && announcesBody(request)) response.headers.set("connection", "close");
      setSecurityHeaders(response.headers);
      if (isForAllOrigins) allowAllOrigins(response.headers);
      const key = cacheKeys.get(request);
      if (key && body) responseCache.set(key, cachedResponseOf(response, body, { route, path: context.path }));
      const user = identity && identity.kind !== "anonymous" ? identity.user.owner.name : undefined;
      return finish({ request, context, response, route, started, user });
    },
    replay: (request) => {
      const key = parts.health.isFolderInPlace ? responseCache.keyOf(request) : undefined;
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

/** A dual-stack socket reports IPv4 addresses in their IPv6-mapped form. */
function unmapped(peer: Peer): Peer {
  const { address } = peer;
  return address.startsWith(":") ? { ...peer, address: address.replace(/^::ffff:(?=[\d.]+$)/i, "") } : peer;
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

function contextOf(
  request: Request,
  { address, prefix }: { readonly address: string; readonly prefix: string },
): RequestContext {
  const [target, query] = rawTarget(request.url);
  const { token, path } = splitPath(target, prefix);
  return { requestId: createRequestId(), address, path, query: new URLSearchParams(query), pathToken: token };
}

/** Path and query as sent: the URL class would normalize them, and an invalid `Host` leaves no host in the URL. */
function rawTarget(url: string): [path: string, query: string] {
  const start = /^[a-z]+:\/\//i.test(url) ? url.indexOf("/", url.indexOf("//") + 2) : 0;
  const target = start < 0 ? "/" : (url.slice(start).split("#", 1)[0] ?? "/");
  const mark = target.indexOf("?");
  return mark < 0 ? [target, ""] : [target.slice(0, mark), target.slice(mark + 1)];
}

function clientAddress(request: Request, peer: string, trusted: readonly string[]): string {
  if (!trusted.includes(peer)) return peer;
  const hops = (request.headers.get("x-forwarded-for") ?? "").split(",").map((hop) => hop.trim());
  // The rightmost hop that is not a trusted proxy is the address that a trusted proxy saw.
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
