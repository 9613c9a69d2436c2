// A TCP proxy on loopback with faults that are switched while it runs, to stand before PostgreSQL or S3.
// By hand: toxiproxy is a program of its own that neither Debian nor npm has, and knows no messages ("after COMMIT").

import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

export type Direction = "to server" | "to client";

export type Fault =
  | { readonly kind: "none" }
  /** Cuts what is open, and has nobody listening. */
  | { readonly kind: "refuse" }
  /** Accepts, and holds everything back until the next fault is set. */
  | { readonly kind: "hang" }
  /** Waits before each chunk, in both directions. */
  | { readonly kind: "delay"; readonly ms: number }
  /** Lets this many bytes of a connection through, counted from its start; then cuts it. */
  | { readonly kind: "cut after"; readonly direction: Direction; readonly bytes: number }
  /** Once: delivers half of the next chunk of this direction, then cuts the connection or goes silent on it. */
  | { readonly kind: "halve"; readonly direction: Direction; readonly end: "cut" | "silence" }
  /** Once: the server never gets the first chunk that matches. */
  | { readonly kind: "lose request"; matches(chunk: Buffer): boolean; readonly end: "cut" | "silence" }
  /** Once: the server gets the first chunk that matches, and has begun to answer; the client gets nothing of that. */
  | { readonly kind: "lose answer"; matches(chunk: Buffer): boolean; readonly end: "cut" | "silence" };

export type TcpProxy = {
  readonly port: number;
  /** The address of the target as it is through the proxy. */
  through(url: string): string;
  /** Holds for open connections and new ones, from their next chunk on. */
  setFault(fault: Fault): Promise<void>;
  /** How many chunks the fault has met since it was set. */
  hits(): number;
  /** Clients that are connected now. */
  connectionCount(): number;
  cutAll(): void;
  close(): Promise<void>;
};

type Link = {
  readonly client: Socket;
  readonly server: Socket;
  readonly passed: Record<Direction, number>;
  /** How the connection ends at the server's next answer. */
  answerLost?: "cut" | "silence";
  readonly closed: Promise<void>;
  cut(): void;
};

const NONE: Fault = { kind: "none" };
const NOTHING = Buffer.alloc(0);

/** A matcher of chunks that contain the words; a chunk is mostly what the client has written at once. */
export function says(words: string): (chunk: Buffer) => boolean {
  return (chunk) => chunk.includes(words);
}

export async function startTcpProxy(target: { readonly port: number }): Promise<TcpProxy> {
  const faults = createFaults();
  const links = new Set<Link>();
  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const link = openLink(client, target.port, () => links.delete(link));
    links.add(link);
    void pump(link, "to server", faults);
    void pump(link, "to client", faults);
  });
  await listen(listener, 0);
  const { port } = listener.address() as AddressInfo;
  const cutAll = () => links.forEach((link) => link.cut());
  const stopListening = async () => {
    if (!listener.listening) return;
    const closed = once(listener, "close");
    listener.close();
    cutAll();
    await closed;
  };
  return {
    port,
    through: (url) => url.replace(`:${target.port}`, `:${port}`),
    setFault: async (fault) => {
      faults.set(fault);
      if (fault.kind === "refuse") await stopListening();
      else if (!listener.listening) await listen(listener, port);
    },
    hits: faults.hits,
    connectionCount: () => links.size,
    cutAll,
    close: stopListening,
  };
}

type Faults = {
  set(fault: Fault): void;
  current(): Fault;
  hits(): number;
  hit(): void;
  /** Ends a fault that happens once. */
  end(): void;
  /** Until another fault is set. */
  changed(): Promise<void>;
};

function createFaults(): Faults {
  let [current, hits] = [NONE, 0];
  let change = Promise.withResolvers<void>();
  return {
    set: (fault) => {
      [current, hits] = [fault, 0];
      change.resolve();
      change = Promise.withResolvers();
    },
    current: () => current,
    hits: () => hits,
    hit: () => void hits++,
    end: () => void (current = NONE),
    changed: () => change.promise,
  };
}

function openLink(client: Socket, port: number, onClosed: () => void): Link {
  const server = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
  const closed = Promise.withResolvers<void>();
  const cut = () => {
    client.destroy();
    server.destroy();
    closed.resolve();
    onClosed();
  };
  for (const [socket, other] of [[client, server] as const, [server, client] as const]) {
    socket.on("error", cut);
    socket.on("close", () => {
      // In order both directions end first, and what is left for the other side is still written.
      if (!socket.readableEnded || !socket.writableFinished || other.closed) cut();
    });
  }
  return { client, server, passed: { "to server": 0, "to client": 0 }, closed: closed.promise, cut };
}

async function pump(link: Link, direction: Direction, faults: Faults): Promise<void> {
  const [from, to] = direction === "to server" ? [link.client, link.server] : [link.server, link.client];
  let end: Met["end"];
  try {
    for await (const chunk of from.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      // A silent connection is read on, so that its end is seen.
      if (end === "silence") continue;
      const met = await meet(link, direction, chunk, faults);
      end = met.end;
      await write(link, to, met.part, end === "cut");
      if (end === "cut") return link.cut();
      link.passed[direction] += chunk.length;
    }
    if (end === "silence") link.cut();
    else to.end();
  } catch {
    link.cut();
  }
}

/** What is delivered of a chunk, and how the connection ends after that. */
type Met = { readonly part: Buffer; readonly end?: "cut" | "silence" };

async function meet(link: Link, direction: Direction, chunk: Buffer, faults: Faults): Promise<Met> {
  if (faults.current().kind === "hang") faults.hit();
  while (faults.current().kind === "hang") await faults.changed();
  if (direction === "to client" && link.answerLost !== undefined) {
    faults.hit();
    return { part: NOTHING, end: link.answerLost };
  }
  const fault = faults.current();
  if ("direction" in fault && fault.direction !== direction) return { part: chunk };
  if ("matches" in fault && !(direction === "to server" && fault.matches(chunk))) return { part: chunk };
  return doHarm(link, chunk, fault, faults);
}

async function doHarm(link: Link, chunk: Buffer, fault: Fault, faults: Faults): Promise<Met> {
  switch (fault.kind) {
    case "none":
    case "refuse":
    case "hang":
      return { part: chunk };
    case "delay":
      faults.hit();
      await Bun.sleep(fault.ms);
      return { part: chunk };
    case "cut after": {
      const rest = fault.bytes - link.passed[fault.direction];
      if (chunk.length < rest) return { part: chunk };
      faults.hit();
      return { part: chunk.subarray(0, Math.max(0, rest)), end: "cut" };
    }
    case "halve":
      faults.hit();
      faults.end();
      return { part: chunk.subarray(0, Math.floor(chunk.length / 2)), end: fault.end };
    case "lose request":
      faults.hit();
      faults.end();
      return { part: NOTHING, end: fault.end };
    case "lose answer":
      faults.end();
      link.answerLost = fault.end;
      return { part: chunk };
  }
}

async function write(link: Link, to: Socket, part: Buffer, isLast: boolean): Promise<void> {
  if (part.length > 0 && !to.write(part)) await Promise.race([once(to, "drain"), link.closed]);
  // `destroy` drops what is not yet written.
  if (isLast && part.length > 0) await new Promise<void>((resolve) => void to.end(resolve));
}

async function listen(listener: Server, port: number): Promise<void> {
  listener.listen(port, "127.0.0.1");
  await once(listener, "listening");
}
