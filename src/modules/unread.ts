// The number of bytes that peers have not received yet, as reported by Linux.

import { readFile } from "node:fs/promises";

/** Bytes that wait for the peer with this port; undefined where the system does not report them. */
export type Unread = (port: number) => Promise<number | undefined>;

const TABLES = ["/proc/net/tcp", "/proc/net/tcp6"];
/** How long a reading is reused: it takes some milliseconds in another thread. */
const FRESH_MS = 200;

export function createUnread({ now }: { readonly now: () => number }): Unread {
  let reading: Promise<ReadonlyMap<number, number>> | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  return async (port) => {
    if (!reading || now() - readAt > FRESH_MS) {
      readAt = now();
      reading = readTables();
    }
    const found = await reading;
    return found.size === 0 ? undefined : (found.get(port) ?? 0);
  };
}

async function readTables(): Promise<Map<number, number>> {
  const unread = new Map<number, number>();
  for (const table of TABLES) {
    const text = await readFile(table, "latin1").catch(() => "");
    // https://docs.kernel.org/networking/proc_net_tcp.html: local address, remote address, state, tx_queue:rx_queue.
    for (const [, port = "", queue = ""] of text.matchAll(
      /^\s*\d+: \S+ [0-9A-F]+:([0-9A-F]{4}) \S+ ([0-9A-F]{8}):/gm,
    )) {
      const remote = Number.parseInt(port, 16);
      unread.set(remote, Math.max(unread.get(remote) ?? 0, Number.parseInt(queue, 16)));
    }
  }
  return unread;
}
