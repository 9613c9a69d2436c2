// What one connection may ask for before those on others get their turn, and how much may lie unread for it.

import { setImmediate as nextTurn } from "node:timers/promises";
import type { Unread } from "../modules/unread.ts";
import type { Peer } from "./request-pipeline.ts";

export type Connections = {
  /**
   * To be awaited before a request is answered, if it gives something to wait for. Bun takes requests that were sent without
   * waiting for answers one after the other, all in one turn of the event loop, and closes the connection when one has to wait.
   */
  enter(peer: Peer): Promise<void> | undefined;
  /**
   * Counts an answer; true when its connection is to be closed with it. An answer with a body waits until those before it
   * have gone, and nothing more is read meanwhile; one without, as for HEAD or 304, Bun queues however many lie there.
   */
  mustClose(request: Request, response: Response, peer: Peer): boolean | Promise<boolean>;
};

const IN_A_TURN = 8;
/** Answers without a body in a row, before the connection is looked at. */
const IN_A_ROW = 256;
const UNREAD_BYTES = 16 * 1024;
const PORTS = 65_536;

/** Connections are told apart by the port of the other end: two with the same share a count, which does no harm. */
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

  async function reads({ port }: Peer): Promise<boolean> {
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
      return count > IN_A_TURN ? nextTurn() : undefined;
    },
    mustClose: (request, response, peer) => {
      const { port } = peer;
      const hasBody = request.method !== "HEAD" && Number(response.headers.get("content-length")) > 0;
      const count = hasBody ? 0 : (inARow[port] ?? 0) + 1;
      inARow[port] = count;
      return count > 0 && count % IN_A_ROW === 0 && reads(peer).then((does) => !does);
    },
  };
}
