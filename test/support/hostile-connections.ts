// Connections of a client that sends requests and does not read.

export type Connection = { end(): void; isOpen(): boolean };

/** Sends the text and reads nothing; with `again`, it sends more whenever the server's buffer has space. */
export async function unread(port: number, text: string, again = false): Promise<Connection> {
  const bytes = Buffer.from(text);
  const state = { open: true };
  const close = (): void => {
    state.open = false;
  };
  const fill = (socket: Bun.Socket): void => {
    if (!state.open || socket.write(bytes) < bytes.byteLength) return;
    // One turn at a time, because this process has other connections to serve.
    setTimeout(() => fill(socket), 2);
  };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (opened) => {
        opened.pause();
        if (again) fill(opened);
        else opened.write(bytes);
      },
      drain: (drained) => {
        if (again) fill(drained);
      },
      data: () => undefined,
      close,
      error: close,
    },
  });
  return {
    isOpen: () => state.open,
    end: () => {
      close();
      socket.terminate();
    },
  };
}

/** One connection per text, fifty at a time; refused connections do not count. */
export async function unreadAll(port: number, texts: readonly string[]): Promise<Connection[]> {
  const open: Connection[] = [];
  for (let at = 0; at < texts.length; at += 50) {
    const some = await Promise.allSettled(texts.slice(at, at + 50).map((text) => unread(port, text)));
    for (const one of some) if (one.status === "fulfilled") open.push(one.value);
  }
  return open;
}

export function getText(path: string, headers: Readonly<Record<string, string>> = {}, method = "GET"): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${lines.join("")}\r\n`;
}
