// The listening server: the app behind Bun's HTTP, and its orderly end.

import { createApp, type App } from "../app.ts";
import { splitAddress, type Config } from "../config.ts";
import { usage } from "../errors.ts";
import { createHandleCount, isOutOfHandles } from "../modules/handles.ts";
import type { Logger } from "../modules/log.ts";
import type { Peer } from "../routers/request-pipeline.ts";
import { metricsResponse } from "../routers/ops.ts";
import { createListener } from "./listener.ts";

export type RunningServer = {
  readonly app: App;
  /** `host:port` as bound. */
  readonly address: string;
  readonly publicUrl: string;
  /** Stops accepting, lets transfers end within the deadline, closes everything. */
  stop(): Promise<void>;
};

export type ServerOptions = {
  readonly config: Config;
  readonly log: Logger;
  readonly failpoint?: ((name: string) => void) | undefined;
  readonly onFatal: (error: unknown) => void;
};

/** Seconds without progress; Bun's default cuts off honest slow readers. */
const IDLE_SECONDS = 255;

export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { config, log } = options;
  let handle: App["handle"] | undefined;
  const answer: Fetch = async (request, self) => {
    // The port is taken before the parts are made, so that a free one can be part of the links.
    if (!handle) return starting();
    return listener.isShort() ? outOfHandles() : await handle(request, peerOf(request, self));
  };
  const listener = createListener({
    log,
    count: createHandleCount(),
    serve: (port) =>
      listen("listen", config.listen, {
        // Whoever reads a body counts it; Bun's own refusal would not say what the limit is.
        maxRequestBodySize: Number.MAX_SAFE_INTEGER,
        fetch: answer,
        port,
      }),
  });
  const address = `${splitAddress(config.listen).hostname}:${listener.port}`;
  const publicUrl = config["public-url"] ?? `http://${address}`;
  let metrics: MetricsPort | undefined;
  try {
    // Both ports come before the data folder: a server that cannot listen leaves it alone.
    metrics = listenMetrics(config);
    const app = await createApp({ ...options, publicUrl });
    metrics?.serve(app);
    const servers = [listener, ...(metrics ? [metrics.server] : [])];
    app.metrics.observe("condarium_open_requests", "Requests that are being answered", () => listener.pendingRequests);
    handle = app.handle;
    return { app, address, publicUrl, stop: () => stop(options, servers, app) };
  } catch (error) {
    await Promise.all([listener.stop(true), metrics?.server.stop(true)]);
    throw error;
  }
}

function peerOf(request: Request, server: Bun.Server<undefined>): Peer {
  const { address = "", port = 0 } = server.requestIP(request) ?? {};
  // Of a request that has been answered or given up, Bun knows no address.
  return { address, port, isOpen: () => server.requestIP(request) !== null };
}

function outOfHandles(): Response {
  const headers = { "retry-after": "1", "cache-control": "no-store", connection: "close" };
  return new Response("The server has used up its file handles. Try again in a moment.\n", { status: 503, headers });
}

type Fetch = (request: Request, server: Bun.Server<undefined>) => Promise<Response>;

type ListenOptions = {
  readonly fetch: Fetch;
  readonly maxRequestBodySize?: number;
  readonly port?: number | undefined;
};

function listen(
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
      // By default Bun lets two servers have one port, and each connection goes to one of them by chance.
      reusePort: false,
      // Bun opens the files of answers itself, after all else.
      error: (error) => (isOutOfHandles(error) ? outOfHandles() : new Response("internal error\n", { status: 500 })),
      ...options,
    });
  } catch (error) {
    throw usage(`Cannot listen on ${address}: ${whyNot(error)}. Give another address with --${setting}.`);
  }
}

function whyNot(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EADDRINUSE") return "another program listens there already";
  if (code === "EADDRNOTAVAIL") return "it is no address of this machine";
  if (code === "EACCES") return "ports below 1024 are for root only";
  return error instanceof Error ? error.message : String(error);
}

type MetricsPort = { readonly server: Bun.Server<undefined>; serve(app: App): void };

function listenMetrics(config: Config): MetricsPort | undefined {
  const address = config["metrics-listen"];
  if (address === undefined) return undefined;
  let serving: App | undefined;
  const server = listen("metrics-listen", address, {
    fetch: async (request) => (serving ? await answerMetrics(serving, request) : starting()),
  });
  return { server, serve: (app) => void (serving = app) };
}

function starting(): Response {
  return new Response("starting\n", { status: 503, headers: { "retry-after": "1" } });
}

async function answerMetrics(app: App, request: Request): Promise<Response> {
  if (request.method === "GET" && request.url.endsWith("/metrics")) return await metricsResponse(app.metrics);
  return new Response("not found\n", { status: 404 });
}

type Stoppable = { stop(force?: boolean): Promise<void> };

async function stop(options: ServerOptions, servers: readonly Stoppable[], app: App): Promise<void> {
  const force = (): void => {
    options.log.warn({ event: "stop-forced" }, "open transfers did not end in time and are cut off");
    for (const server of servers) void server.stop(true);
  };
  const deadline = setTimeout(force, options.config["shutdown-timeout"] * 1000);
  await Promise.all(servers.map((server) => server.stop()));
  clearTimeout(deadline);
  app.close();
}
