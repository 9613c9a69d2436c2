// Cuts off who asks again and again for answers without a body, by HEAD or for a 304, and reads none. Bun lets an answer
// with a body wait until those before it have gone, and reads nothing more; others it queues, however many lie there.

import { createLru } from "../modules/lru.ts";
import type { Unread } from "../modules/unread.ts";
import type { Peer } from "./kit.ts";

export type BodilessAnswers = {
  /** Counts an answer; true when its connection is to be closed with it. */
  mustClose(request: Request, response: Response, peer: Peer): boolean | Promise<boolean>;
};

/** In a row on one connection, before it is looked at. */
const IN_A_ROW = 256;
const UNREAD_BYTES = 16 * 1024;
const CONNECTIONS = 20_000;

export function createBodilessAnswers({ unread }: { readonly unread: Unread }): BodilessAnswers {
  const inARow = createLru<string, number>({ maxEntries: CONNECTIONS });

  async function reads({ port }: Peer): Promise<boolean> {
    const bytes = await unread(port);
    return bytes !== undefined && bytes < UNREAD_BYTES;
  }

  return {
    mustClose: (request, response, peer) => {
      const connection = `${peer.address} ${peer.port}`;
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
