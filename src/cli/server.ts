// The listening server: the app behind Bun's HTTP server, and its shutdown.

import { createApp, type App } from "../app.ts";
import { splitAddress, type Config } from "../config.ts";
import { usage } from "../errors.ts";
import { createHandleCount, isOutOfHandles } from "../modules/handles.ts";
import type { Logger } from "../modules/log.ts";
import type { Rendering } from "../modules/metrics.ts";
import type { Peer } from "../routers/request-pipeline.ts";
import { metricsResponse } from "../routers/ops.ts";
import type { Shared } from "../sharing.ts";
import { createListener } from "./listener.ts";
import { localUrl } from "./local-url.ts";

export type RunningServer = {
  readonly app: App;
  /** `host:port` as bound, with an IPv6 address in brackets. */
  readonly address: string;
  readonly publicUrl: string;
  /** Whether links are wrong on other machines, because the name of this one is unknown. */
  readonly needsPublicUrl: boolean;
  /** Stops accepting connections, waits for transfers up to the shutdown timeout, then closes everything. */
  stop(): Promise<void>;
};

export type ServerOptions = {
  readonly config: Config;
  readonly log: Logger;
  readonly failpoint?: ((name: string) => void) | undefined;
  readonly onFatal: (error: unknown) => void;
  /** For one of several processes, which share the port. */
  readonly shared?: Shared | undefined;
};

/** Seconds without progress until a connection is closed; Bun's default of 10 interrupts slow clients. */
const IDLE_SECONDS = 255;

export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { config, log } = options;
  let handle: App["handle"] | undefined;
  const answer: Fetch = async (request, self) => {
    // The port is bound before the app is created, as the links contain it, also a port that the system picked.
    if (!handle) return starting();
    return listener.isShort() ? outOfHandles() : await handle(request, peerOf(request, self));
  };
  const listener = createListener({
    log,
    count: createHandleCount(),
    serve: (port) =>
      listen("listen", config.listen, {
        // The readers of a body enforce its limit; Bun's own error would not name the limit.
        maxRequestBodySize: Number.MAX_SAFE_INTEGER,
        fetch: answer,
        port,
        reusePort: options.shared !== undefined,
      }),
  });
  const { url, address, isEverywhere } = localUrl(config.listen, listener.port);
  const publicUrl = config["public-url"] ?? url;
  const needsPublicUrl = isEverywhere && config["public-url"] === undefined;
  let metrics: MetricsPort | undefined;
  try {
    // Both ports are bound before the data folder is opened: a server that cannot listen does not touch the folder.
    if (!options.shared) metrics = listenMetrics(config);
    const app = await createApp({ ...options, publicUrl });
    metrics?.serve(app.metrics);
    const servers = [listener, ...(metrics ? [metrics.server] : [])];
    app.metrics.observe("condarium_open_requests", "Requests under way", () => listener.pendingRequests);
    handle = app.handle;
    return { app, address, publicUrl, needsPublicUrl, stop: () => stop(options, servers, app) };
  } catch (error) {
    await Promise.all([listener.stop(true), metrics?.server.stop(true)]);
    throw error;
  }
}

function peerOf(request: Request, server: Bun.Server<undefined>): Peer {
  const { address = "", port = 0 } = server.requestIP(request) ?? {};
  // Bun reports no address for a request that is answered or aborted.
  return { address, port, isOpen: () => server.requestIP(request) !== null };
}

function outOfHandles(): Response {
  const headers = { "retry-after": "1", "cache-control": "no-store", connection: "close" };
  return new Response("The server has no free file handles. Retry in a second.\n", { status: 503, headers });
}

type Fetch = (request: Request, server: Bun.Server<undefined>) => Promise<Response>;

type ListenOptions = {
  readonly fetch: Fetch;
  readonly maxRequestBodySize?: number;
  readonly port?: number | undefined;
  readonly reusePort?: boolean;
};

export function listen(
  setting: "listen" | "metrics-listen",
  address: string,
  { port, ...options }: ListenOptions,
): Bun.Server<undefined> {
  const place = splitAddress(address);
  try {
    return Bun.serve({
      ...place,
      port: port ?? place.port,
      idleTimeout: IDLE_SECONDS,
      development: false,
      // By default Bun lets two servers share a port, and each connection goes to a random one of them.
      reusePort: false,
      // Bun opens the files of responses itself, after the app has returned.
      error: (error) => (isOutOfHandles(error) ? outOfHandles() : new Response("internal error\n", { status: 500 })),
      ...options,
    });
  } catch (error) {
    throw usage(`Cannot listen on ${address}: ${whyNot(error)}. Give another address with --${setting}.`);
  }
}

function whyNot(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EADDRINUSE") return "another program already listens there";
  if (code === "EADDRNOTAVAIL") return "it is not an address of this machine";
  if (code === "ERR_OUT_OF_RANGE") return "the port must be from 0 to 65535";
  if (code === "EACCES") return "only root can listen on ports below 1024";
  return error instanceof Error ? error.message : String(error);
}

export type MetricsPort = { readonly server: Bun.Server<undefined>; serve(metrics: Rendering): void };

export function listenMetrics(config: Config): MetricsPort | undefined {
  const address = config["metrics-listen"];
  if (address === undefined) return undefined;
  let serving: Rendering | undefined;
  const server = listen("metrics-listen", address, {
    fetch: async (request) => (serving ? await answerMetrics(serving, request) : starting()),
  });
  return { server, serve: (metrics) => void (serving = metrics) };
}

export function starting(): Response {
  return new Response("starting\n", { status: 503, headers: { "retry-after": "1" } });
}

async function answerMetrics(metrics: Rendering, request: Request): Promise<Response> {
  if (request.method === "GET" && request.url.endsWith("/metrics")) return await metricsResponse(metrics);
  return new Response("not found\n", { status: 404 });
}

type Stoppable = { stop(force?: boolean): Promise<void> };

async function stop(options: ServerOptions, servers: readonly Stoppable[], app: App): Promise<void> {
  const force = (): void => {
    options.log.warn({ event: "stop-forced" }, "open transfers did not end in time: closing them");
    for (const server of servers) void server.stop(true);
  };
  const deadline = setTimeout(force, options.config["shutdown-timeout"] * 1000);
  await Promise.all(servers.map((server) => server.stop()));
  clearTimeout(deadline);
  await app.close();
}
