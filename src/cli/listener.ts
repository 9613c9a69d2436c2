// A listening port that rests while file handles are short: Bun would ask for the next connection again and again, which
// takes a whole processor, and whoever is connected already could not be given a file.

import type { Logger } from "../modules/log.ts";
import type { Handles } from "../modules/handles.ts";

type Server = Bun.Server<undefined>;

export type Listener = {
  readonly port: number;
  readonly pendingRequests: number;
  /** Whether requests are to be refused, so that their connections give up their handles. */
  isShort(): boolean;
  stop(force?: boolean): Promise<void>;
};

export type ListenerParts = {
  /** Takes the port, or the same one again. */
  readonly serve: (port?: number) => Server;
  readonly log: Logger;
  /** How many handles there are; undefined where nobody knows. */
  readonly count: (() => Handles) | undefined;
};

const LOOK_MS = 250;
/** Looks of a rest after which all connections end: first if nobody waits for an answer, then in any case. */
const PATIENCE = { idle: 4, busy: 60 };
/** Kept for files and the database: a part of a low limit, and enough of a high one. */
const RESERVE = 64;
const RESERVE_PART = 4;

export function createListener({ serve, log, count }: ListenerParts): Listener {
  let current: Server | undefined = serve();
  const port = current.port ?? 0;
  // Those whose connections have not ended yet.
  const servers = new Set([current]);
  let isShort = false;
  let isRefused = false;
  let looksAtRest = 0;

  function rest(): void {
    const resting = current;
    current = undefined;
    void resting?.stop().then(() => servers.delete(resting));
  }

  /** Bun does not take a connection for idle that has sent nothing yet, or half a request. */
  function end(): void {
    looksAtRest += 1;
    const isBusy = [...servers].some(({ pendingRequests }) => pendingRequests > 0);
    if (looksAtRest < (isBusy ? PATIENCE.busy : PATIENCE.idle)) return;
    for (const server of servers) void server.stop(true);
  }

  function resume(): void {
    try {
      current = serve(port);
      servers.add(current);
      isRefused = false;
    } catch (error) {
      if (!isRefused)
        log.error({ event: "not-listening", err: error }, `port ${port} cannot be had back; still trying`);
      isRefused = true;
    }
  }

  function look(take: () => Handles): void {
    const handles = take();
    const { limit } = handles;
    const reserve = Math.min(RESERVE, Math.ceil(limit / RESERVE_PART));
    const wasShort = isShort;
    isShort = handles.open > limit - (wasShort ? 2 : 1) * reserve;
    if (isShort && !wasShort) {
      const facts = { event: "handles-short", open: handles.open, limit };
      log.warn(facts, `nearly all of ${limit} file handles are in use: nobody new is taken, see \`ulimit -n\``);
    }
    if (isShort) for (const server of servers) server.closeIdleConnections();
    if (isShort && !current) end();
    else looksAtRest = 0;
    if (isShort && wasShort && current && handles.open > limit - reserve) rest();
    if (!isShort && !current) resume();
    if (!isShort && wasShort)
      log.warn({ event: "handles-free", open: handles.open, limit }, "there are file handles again");
  }

  const looking = count && setInterval(look, LOOK_MS, count).unref();
  return {
    port,
    isShort: () => isShort,
    get pendingRequests() {
      return [...servers].reduce((sum, { pendingRequests }) => sum + pendingRequests, 0);
    },
    stop: async (force = false) => {
      clearInterval(looking);
      await Promise.all([...servers].map((server) => server.stop(force)));
    },
  };
}
