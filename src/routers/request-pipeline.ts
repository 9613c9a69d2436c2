// The shared handling around every route: request context, identity, errors, headers and the log line.

import type { AnyElysia } from "elysia";
import { AppError, type Refused } from "../errors.ts";
import type { Events } from "../events.ts";
import { createRequestId } from "../modules/ids.ts";
import type { Clock } from "../modules/clock.ts";
import type { ClientAddress } from "../modules/http/client-address.ts";
import type { Identity } from "../services/actor.ts";
import type { Health } from "../services/health.ts";
import type { Identities, IdentifyOptions } from "../services/identities.ts";
import type { Refusals } from "../services/refusals.ts";
import type { CacheKey, CachedResponse, ResponseCache, CachedBody } from "./response-cache.ts";
import { splitPath } from "./raw-path.ts";
import { credentialsOf } from "./http/identity.ts";
import type { AccessLog, Answered, Refusal } from "./access-log.ts";
import { problemResponse } from "./http/errors.ts";
import { createRequestBodies, type RequestBodies } from "./http/request-body.ts";
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
  /** The body; leaving its iteration early keeps the rest unread. Null without a body. */
  body(): AsyncIterable<Uint8Array> | null;
  identify(options?: IdentifyOptions): Promise<Identity>;
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
  handle(request: Request, route: string, work: Work): Promise<Response>;
  /** Replays the stored response when an identical request without credentials was answered since the last commit. */
  replay(request: Request): Response | undefined | Promise<Response | undefined>;
  /** Sets the peer of a request; called when the request arrives. */
  setPeer(request: Request, peer: Peer): void;
};

export type PipelineParts = {
  readonly identities: Identities;
  readonly events: Events;
  readonly clock: Clock;
  readonly responseCache: ResponseCache;
  readonly accessLog: AccessLog;
  readonly refusals: Pick<Refusals, "note">;
  readonly health: Health;
  readonly clientAddress: ClientAddress;
  /** The path of `public-url`; every route works with it and without it. */
  readonly prefix: string;
};

export function createPipeline(parts: PipelineParts): Pipeline {
  const { clock, responseCache, events, accessLog } = parts;
  const peers = createPeers(parts.clientAddress);
  const cacheKeys = new WeakMap<Request, CacheKey>();
  const bodies = createRequestBodies({ now: clock.elapsed });

  function finish(answer: Omit<Answered, "isOpen">): Response {
    const { request, context, response } = answer;
    response.headers.set("x-request-id", context.requestId);
    accessLog.write({ ...answer, isOpen: () => peers.isOpen(request) });
    return response;
  }

  const replaying = { responseCache, events, peers, cacheKeys, finish };

  async function handle(request: Request, context: RequestContext, { route, work }: Route): Promise<Response> {
    const started = clock.elapsed();
    let identity: Identity | undefined;
    const identify = async (how?: IdentifyOptions): Promise<Identity> => {
      identity ??= await parts.identities.identify(credentialsOf(request, context.pathToken), context, how);
      return identity;
    };
    let body: CachedBody | undefined;
    let isForAllOrigins = false;
    const allowCaching = (cacheable: CachedBody): void => void (body = cacheable);
    const allowOrigins = (): void => void (isForAllOrigins = true);
    const call = {
      request,
      context,
      identify,
      allowCaching,
      allowOrigins,
      body: () => bodies.of(request),
      isOpen: () => peers.isOpen(request),
    };
    const { response, refusal, refused } = await respond({ ...parts, bodies }, call, { route, work });
    const { requestId, address } = context;
    if (identity && refused)
      parts.refusals.note({ kind: "request", identity, requestId, address, surface: "management" }, refused);
    // Bun exposes no body for a GET and would read a sent one to its end.
    if (request.body === null && announcesBody(request)) response.headers.set("connection", "close");
    setSecurityHeaders(response.headers);
    if (isForAllOrigins) allowAllOrigins(response.headers);
    const key = cacheKeys.get(request);
    if (key && body) responseCache.set(key, cachedResponseOf(response, body, { route, path: context.path }));
    const user = identity && identity.kind !== "anonymous" ? identity.user.owner.name : undefined;
    return finish({ request, context, response, route, started, user, refusal });
  }

  return {
    setPeer: peers.set,
    handle: (request, route, work) => {
      const context = contextOf(request, { address: peers.addressOf(request), prefix: parts.prefix });
      return handle(request, context, { route, work });
    },
    replay: (request) => {
      const started = clock.elapsed();
      const key = parts.health.isFolderInPlace ? responseCache.keyOf(request) : undefined;
      if (!(key instanceof Promise)) return replayWith(replaying, request, key, started);
      return key.then((known) => replayWith(replaying, request, known, started));
    },
  };
}

type ReplayParts = Pick<PipelineParts, "responseCache" | "events"> & {
  readonly peers: ReturnType<typeof createPeers>;
  /** Remembers the key of a request that is not replayed: its response is stored under the key. */
  readonly cacheKeys: WeakMap<Request, CacheKey>;
  finish(answer: Omit<Answered, "isOpen">): Response;
};

function replayWith(
  { responseCache, events, peers, cacheKeys, finish }: ReplayParts,
  request: Request,
  key: CacheKey | undefined,
  started: number,
): Response | undefined {
  if (!key) return undefined;
  const known = responseCache.get(key);
  const content = known?.content({ isOpen: () => peers.isOpen(request) });
  if (!known || content === undefined) {
    cacheKeys.set(request, key);
    return undefined;
  }
  const { status, headers, route, path } = known;
  const context = { requestId: createRequestId(), address: peers.addressOf(request), path, pathToken: undefined };
  const response = new Response(content, { status, headers });
  events.responseReplayed();
  return finish({ request, context, response, route, started, user: undefined });
}

function createPeers(clientAddress: ClientAddress) {
  const peers = new WeakMap<Request, Peer>();
  return {
    // A dual-stack socket reports IPv4 addresses in their IPv6-mapped form.
    set: (request: Request, peer: Peer): void => {
      const { address } = peer;
      const isMapped = address.startsWith(":");
      peers.set(request, isMapped ? { ...peer, address: address.replace(/^::ffff:(?=[\d.]+$)/i, "") } : peer);
    },
    addressOf: (request: Request): string =>
      clientAddress(request.headers.get("x-forwarded-for"), peers.get(request)?.address ?? ""),
    isOpen: (request: Request): boolean => peers.get(request)?.isOpen() ?? false,
  };
}

type Work = (call: Call) => Promise<Response> | Response;
type Route = { readonly route: string; readonly work: Work };

type Responding = Pick<PipelineParts, "events" | "health"> & { readonly bodies: RequestBodies };
type Responded = {
  readonly response: Response;
  readonly refusal?: Refusal;
  readonly refused?: Refused | undefined;
};

async function respond(parts: Responding, call: Call, { route, work }: Route): Promise<Responded> {
  const { request } = call;
  try {
    const response = await work(call);
    return { response: response.status < 400 ? response : await parts.bodies.refuse(request, response) };
  } catch (error) {
    const explained = parts.health.explain(error);
    const problem = problemResponse(explained, {
      request,
      requestId: call.context.requestId,
      events: parts.events,
      route,
    });
    return {
      response: await parts.bodies.refuse(request, problem),
      refusal: refusalOf(explained, problem),
      refused: refusedIn(explained, `${request.method} ${route}`),
    };
  }
}

/** For the audit trail; a refusal that the gate has not made is one of the route. */
function refusedIn(error: unknown, route: string): Refused | undefined {
  if (!(error instanceof AppError)) return undefined;
  const { code, facts } = error;
  return facts.refused ?? (code === "forbidden" || code === "unauthenticated" ? { action: route } : undefined);
}

/** For the log: the reason, which can be more than the client learns, and the rules that the package breaks. */
function refusalOf(error: unknown, { headers }: Response): Refusal {
  const bytes = Number(headers.get("content-length"));
  if (!(error instanceof AppError)) return { why: "internal error", rules: [], bytes };
  return { why: error.facts.log ?? error.message, rules: error.facts.rules ?? [], bytes };
}

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

function announcesBody({ headers }: Request): boolean {
  return headers.has("transfer-encoding") || Number(headers.get("content-length") ?? 0) > 0;
}
