// A separate process: repeats one request whose response has no body, and prints how many responses it got.

import { z } from "zod";

const loadShape = z.object({
  host: z.string(),
  port: z.number(),
  /** The complete head of the request. */
  request: z.string(),
  /** The status line starts with this. */
  expected: z.string(),
  connections: z.number(),
  seconds: z.number(),
});

export type BodilessLoad = z.infer<typeof loadShape>;

if (import.meta.main) {
  const load = loadShape.parse(JSON.parse(process.argv[2] ?? ""));
  console.log(JSON.stringify(await run(load)));
}

/** Each connection has one request in flight at a time. */
async function run(load: BodilessLoad): Promise<{ requests: number; seconds: number }> {
  const request = Buffer.from(load.request);
  let requests = 0;
  const fail = (message: string): never => {
    console.error(message);
    process.exit(1);
  };
  const open = (): Promise<Bun.Socket> =>
    Bun.connect({
      hostname: load.host,
      port: load.port,
      socket: {
        open: (socket) => void socket.write(request),
        data: (socket, chunk) => {
          const text = chunk.toString("latin1");
          // A response without a body is so short that it arrives in one chunk.
          if (!text.startsWith(load.expected) || !text.endsWith("\r\n\r\n")) fail(`unexpected answer: ${text}`);
          requests += 1;
          socket.write(request);
        },
        error: (_, error) => void fail(error.message),
      },
    });
  const started = performance.now();
  const sockets = await Promise.all(Array.from({ length: load.connections }, open));
  await Bun.sleep(load.seconds * 1000);
  const result = { requests, seconds: (performance.now() - started) / 1000 };
  for (const socket of sockets) socket.terminate();
  return result;
}
