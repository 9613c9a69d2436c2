// A listening port that is closed while file handles are short. Otherwise Bun tries to accept the next connection in a
// busy loop, which takes a complete processor, and open connections get no handles for the files they request.

import type { Logger } from "../modules/log.ts";
import type { Handles } from "../modules/handles.ts";

type Server = Bun.Server<undefined>;

export type Listener = {
  readonly port: number;
  readonly pendingRequests: number;
  /** Whether requests must be refused, so that their connections free their handles. */
  isShort(): boolean;
  stop(force?: boolean): Promise<void>;
};

export type ListenerParts = {
  /** Listens on the configured port, or on `port` again. */
  readonly serve: (port?: number) => Server;
  readonly log: Logger;
  /** Counts the file handles; undefined where the system does not report them. */
  readonly count: (() => Handles) | undefined;
};

const CHECK_MS = 250;
/** Checks with a closed port after which all connections are closed: without open requests, and with them. */
const CHECKS_UNTIL_CLOSE = { idle: 4, busy: 60 };
/** Handles reserved for files and the database: a quarter of a low limit, at most 64 of a high one. */
const RESERVE = 64;
const RESERVE_DIVISOR = 4;

export function createListener({ serve, log, count }: ListenerParts): Listener {
  let current: Server | undefined = serve();
  const port = current.port ?? 0;
  // Servers with open connections.
  const servers = new Set([current]);
  let isShort = false;
  let isRefused = false;
  let checksClosed = 0;

  function closePort(): void {
    const closing = current;
    current = undefined;
    void closing?.stop().then(() => servers.delete(closing));
  }

  /** Needed because Bun does not count a connection as idle before its first complete request. */
  function closeConnections(): void {
    checksClosed += 1;
    const isBusy = [...servers].some(({ pendingRequests }) => pendingRequests > 0);
    if (checksClosed < (isBusy ? CHECKS_UNTIL_CLOSE.busy : CHECKS_UNTIL_CLOSE.idle)) return;
    for (const server of servers) void server.stop(true);
  }

  function reopenPort(): void {
    try {
      current = serve(port);
      servers.add(current);
      isRefused = false;
    } catch (error) {
      if (!isRefused)
        log.error({ event: "not-listening", err: error }, `cannot listen on port ${port} again; retrying`);
      isRefused = true;
    }
  }

  function check(countHandles: () => Handles): void {
    const handles = countHandles();
    const { limit } = handles;
    const reserve = Math.min(RESERVE, Math.ceil(limit / RESERVE_DIVISOR));
    const wasShort = isShort;
    isShort = handles.open > limit - (wasShort ? 2 : 1) * reserve;
    if (isShort && !wasShort) {
      const facts = { event: "handles-short", open: handles.open, limit };
      log.warn(facts, `nearly all ${limit} file handles are in use: refusing requests; raise \`ulimit -n\``);
    }
    if (isShort) for (const server of servers) server.closeIdleConnections();
    if (isShort && !current) closeConnections();
    else checksClosed = 0;
    if (isShort && wasShort && current && handles.open > limit - reserve) closePort();
    if (!isShort && !current) reopenPort();
    if (!isShort && wasShort)
      log.warn({ event: "handles-free", open: handles.open, limit }, "file handles are free again");
  }

  const checking = count && setInterval(check, CHECK_MS, count).unref();
  return {
    port,
    isShort: () => isShort,
    get pendingRequests() {
      return [...servers].reduce((sum, { pendingRequests }) => sum + pendingRequests, 0);
    },
    stop: async (force = false) => {
      clearInterval(checking);
      await Promise.all([...servers].map((server) => server.stop(force)));
    },
  };
}
