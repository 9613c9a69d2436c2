// What one connection may ask for before those on others get their turn, and how much may lie unread for it.

import { setImmediate as nextTurn } from "node:timers/promises";
import { createLru } from "../modules/lru.ts";
import type { Unread } from "../modules/unread.ts";
import type { Peer } from "./kit.ts";

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
const CONNECTIONS = 20_000;

export function createConnections({ unread }: { readonly unread: Unread }): Connections {
  const inThisTurn = new Map<string, number>();
  const inARow = createLru<string, number>({ maxEntries: CONNECTIONS });

  async function reads({ port }: Peer): Promise<boolean> {
    const bytes = await unread(port);
    return bytes !== undefined && bytes < UNREAD_BYTES;
  }

  return {
    enter: (peer) => {
      const connection = nameOf(peer);
      if (inThisTurn.size === 0) setImmediate(() => inThisTurn.clear());
      const count = (inThisTurn.get(connection) ?? 0) + 1;
      inThisTurn.set(connection, count);
      return count > IN_A_TURN ? nextTurn() : undefined;
    },
    mustClose: (request, response, peer) => {
      const connection = nameOf(peer);
      if (request.method !== "HEAD" && Number(response.headers.get("content-length")) > 0) {
        inARow.delete(connection);
        return false;
      }
      const count = (inARow.get(connection) ?? 0) + 1;
      inARow.set(connection, count);
      return count % IN_A_ROW === 0 && reads(peer).then((does) => !does);
    },
  };
}

function nameOf({ address, port }: Peer): string {
  return `${address} ${port}`;
}
