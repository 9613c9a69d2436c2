// Limits per connection: requests before other connections get their turn, and response bytes not read by the client.

import { setImmediate as nextTurn } from "node:timers/promises";
import type { Unread } from "../modules/unread.ts";
import type { Peer } from "./request-pipeline.ts";

export type Connections = {
  /**
   * Await the result, if any, before handling the request. Bun handles pipelined requests one after the other in one
   * turn of the event loop, and closes the connection when one of them has to wait.
   */
  enter(peer: Peer): Promise<void> | undefined;
  /**
   * Counts a response; true when it must close its connection. A response with a body waits until all earlier ones are
   * sent, and Bun reads no request meanwhile; responses without a body (HEAD, 304) are queued without a limit.
   */
  mustClose(request: Request, response: Response, peer: Peer): boolean | Promise<boolean>;
};

const REQUESTS_PER_TURN = 8;
/** Consecutive responses without a body after which the unread bytes are checked. */
const BODILESS_IN_A_ROW = 256;
const UNREAD_BYTES = 16 * 1024;
const PORTS = 65_536;

/** Identifies a connection by the peer's port: two with the same port share a count, which does no harm. */
export function createConnections({ unread }: { readonly unread: Unread }): Connections {
  const turns = new Uint32Array(PORTS);
  const inTurn = new Uint32Array(PORTS);
  const inARow = new Uint32Array(PORTS);
  let turn = 1;
  let isTurnKnown = false;

  function endTurn(): void {
    turn = (turn + 1) >>> 0;
    isTurnKnown = false;
  }

  async function isReading({ port }: Peer): Promise<boolean> {
    const bytes = await unread(port);
    return bytes !== undefined && bytes < UNREAD_BYTES;
  }

  return {
    enter: ({ port }) => {
      if (!isTurnKnown) setImmediate(endTurn);
      isTurnKnown = true;
      const count = turns[port] === turn ? (inTurn[port] ?? 0) + 1 : 1;
      turns[port] = turn;
      inTurn[port] = count;
      return count > REQUESTS_PER_TURN ? nextTurn() : undefined;
    },
    mustClose: (request, response, peer) => {
      const { port } = peer;
      const hasBody = request.method !== "HEAD" && Number(response.headers.get("content-length")) > 0;
      const count = hasBody ? 0 : (inARow[port] ?? 0) + 1;
      inARow[port] = count;
      return count > 0 && count % BODILESS_IN_A_ROW === 0 && isReading(peer).then((reading) => !reading);
    },
  };
}
