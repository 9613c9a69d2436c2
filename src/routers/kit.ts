// What surrounds every route: the request's context, its identity, its errors, its headers, its log line.

import type { AnyElysia } from "elysia";
import type { Events } from "../events.ts";
import { createRequestId } from "../modules/ids.ts";
import type { Clock } from "../modules/clock.ts";
import type { Identity } from "../services/actor.ts";
import type { Health } from "../services/health.ts";
import type { Identities } from "../services/identities.ts";
import type { Memo, Remembered, RememberedAnswers, Repeat } from "./remembered.ts";
import { splitToken } from "./raw-path.ts";
import { credentialsOf } from "./plugins/identity.ts";
import { problemResponse } from "./plugins/errors.ts";
import { setSecurityHeaders } from "./plugins/security-headers.ts";

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
  mayRepeat(repeat: Repeat): void;
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
export type MountRoutes = (kit: RouteKit) => AnyElysia;

export type RouteKit = {
  /** Runs a route and turns whatever comes of it into one finished answer. `route` is the pattern, for the metrics. */
  answer(request: Request, route: string, work: (call: Call) => Promise<Response> | Response): Promise<Response>;
  /** The answer of one who asked the very same, if it still holds. */
  repeat(request: Request): Response | undefined;
  /** Tells who is on the other end; called once a request arrives. */
  setPeer(request: Request, peer: Peer): void;
};

export type RouteKitParts = {
  readonly identities: Identities;
  readonly events: Events;
  readonly clock: Clock;
  readonly remembered: RememberedAnswers;
  readonly health: Health;
  /** Addresses of proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[];
};

export function createRouteKit(parts: RouteKitParts): RouteKit {
  const { clock, remembered } = parts;
  const peers = new WeakMap<Request, Peer>();
  const memos = new WeakMap<Request, Memo>();
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
    answer: async (request, route, work) => {
      const started = clock.elapsed();
      const context = contextOf(request, addressOf(request));
      let identity: Identity | undefined;
      const identify = async (): Promise<Identity> => {
        identity ??= await parts.identities.identify(credentialsOf(request, context.pathToken), context.address);
        return identity;
      };
      let repeat: Repeat | undefined;
      let response: Response;
      try {
        response = await work({
          request,
          context,
          identify,
          isOpen: () => isOpen(request),
          mayRepeat: (given) => (repeat = given),
        });
      } catch (error) {
        response = problemResponse(parts.health.explain(error), { request, events: parts.events, route });
      }
      // Bun gives a GET no body to leave unread, and would read what comes to its end.
      if (request.body === null && announcesBody(request)) response.headers.set("connection", "close");
      setSecurityHeaders(response.headers);
      const memo = memos.get(request);
      if (memo && repeat) remembered.keep(memo, rememberedOf(response, repeat, { route, path: context.path }));
      const user = identity && identity.kind !== "anonymous" ? identity.user.owner.name : undefined;
      return finish({ request, context, response, route, started, user });
    },
    repeat: (request) => {
      const memo = parts.health.isFolderThere ? remembered.begin(request) : undefined;
      if (!memo) return undefined;
      const started = clock.elapsed();
      const known = remembered.find(memo);
      const content = known?.content({ isOpen: () => isOpen(request) });
      if (!known || content === undefined) {
        memos.set(request, memo);
        return undefined;
      }
      const { status, headers, route, path } = known;
      const context = { requestId: createRequestId(), address: addressOf(request), path, pathToken: undefined };
      const response = new Response(content, { status, headers });
      parts.events.answerRepeated();
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

function rememberedOf(
  { status, headers }: Response,
  repeat: Repeat,
  place: Pick<Remembered, "route" | "path">,
): Remembered {
  return { ...repeat, ...place, status, headers: new Headers(headers) };
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
