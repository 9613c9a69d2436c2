// An HTTP client on one kept connection that times the head and the end of a response, and can discard its body.

export type Call = {
  readonly method?: "GET" | "HEAD" | "PUT" | "DELETE";
  readonly path: string;
  readonly token?: string;
  readonly send?: Uint8Array;
  /** Whether to keep the body of the response. */
  readonly keep?: boolean;
};

export type Answer = {
  readonly status: number;
  /** ms from the request to the end of the head. */
  readonly headMs: number;
  /** ms from the request to the end of the body. */
  readonly endMs: number;
  /** Bytes of the body. */
  readonly bytes: number;
  /** Empty unless it was requested or explains a failure. */
  readonly body: Uint8Array;
};

export type Client = {
  /** One call at a time. */
  call(call: Call): Promise<Answer>;
  close(): void;
};

type Pending = {
  readonly call: Call;
  readonly started: number;
  readonly settle: { resolve(answer: Answer): void; reject(error: Error): void };
  /** The part of the head received so far. */
  head: Buffer;
  answer: { readonly status: number; readonly headMs: number; readonly size: number } | undefined;
  bytes: number;
  readonly kept: Uint8Array[];
};

const LIMIT_MS = 590_000;
const MOST_REPEATS = 4;
const HEAD_END = "\r\n\r\n";

export async function connectTo(url: string): Promise<Client> {
  const { hostname, port, host } = new URL(url);
  let pending: Pending | undefined;
  const fail = (message: string): void => {
    const failed = pending;
    pending = undefined;
    failed?.settle.reject(new Error(`${failed.call.path}: ${message}`));
  };
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data: (_, chunk) => {
        if (!pending) return;
        try {
          const answer = receive(pending, chunk);
          if (!answer) return;
          const { settle } = pending;
          pending = undefined;
          settle.resolve(answer);
        } catch (error) {
          fail(error instanceof Error ? error.message : String(error));
        }
      },
      close: () => fail("the connection was closed"),
      error: (_, error) => fail(error.message),
    },
  });
  const send = async (call: Call): Promise<Answer> => {
    const { promise, ...settle } = Promise.withResolvers<Answer>();
    const limit = setTimeout(() => fail("no answer in time"), LIMIT_MS);
    const request = requestOf(host, call);
    pending = {
      call,
      started: performance.now(),
      settle,
      head: Buffer.alloc(0),
      answer: undefined,
      bytes: 0,
      kept: [],
    };
    if (socket.write(request) < request.byteLength) fail("the request could not be written at once");
    return await promise.finally(() => clearTimeout(limit));
  };
  return { call: send, close: () => socket.terminate() };
}

/** One call on its own connection. */
export async function callOnce(url: string, call: Call): Promise<Answer> {
  const client = await connectTo(url);
  try {
    return await client.call(call);
  } finally {
    client.close();
  }
}

/** Retries like clients when the server asks for a retry; the times include all attempts. */
export async function callPatiently(url: string, call: Call): Promise<Answer & { readonly repeats: number }> {
  const started = performance.now();
  for (let repeats = 0; ; repeats += 1) {
    const before = performance.now() - started;
    try {
      const answer = await callOnce(url, call);
      if (answer.status === 503 && repeats < MOST_REPEATS) continue;
      return { ...answer, headMs: before + answer.headMs, endMs: before + answer.endMs, repeats };
    } catch (error) {
      if (repeats === MOST_REPEATS) throw error;
    }
  }
}

/** The method and path for the name of a row. */
export function repeatsText(repeats: number): string {
  return repeats === 0 ? "" : `, asked for again ${repeats} ×`;
}

/** Errors when the response has another status, with the text of its body. */
export function expectStatus(answer: Answer, status: number, what: string): void {
  if (answer.status === status) return;
  throw new Error(`${what} was answered ${answer.status} ${Buffer.from(answer.body).toString().slice(0, 200).trim()}`);
}

function requestOf(host: string, { method = "GET", path, token, send }: Call): Buffer {
  const authorization = token === undefined ? "" : `Authorization: Bearer ${token}\r\n`;
  const length = send ? `Content-Length: ${send.byteLength}\r\n` : "";
  const head = `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${authorization}${length}\r\n`;
  return Buffer.concat([Buffer.from(head), send ?? new Uint8Array()]);
}

/** The response, once it has arrived completely. */
function receive(pending: Pending, chunk: Buffer): Answer | undefined {
  let part = chunk;
  if (!pending.answer) {
    pending.head = Buffer.concat([pending.head, chunk]);
    const end = pending.head.indexOf(HEAD_END);
    if (end < 0) return undefined;
    const headMs = performance.now() - pending.started;
    pending.answer = { ...readHead(pending.head.subarray(0, end).toString("latin1"), pending.call), headMs };
    part = pending.head.subarray(end + HEAD_END.length);
  }
  const { status, size, headMs } = pending.answer;
  pending.bytes += part.byteLength;
  if (pending.call.keep === true || status >= 400) pending.kept.push(part);
  if (pending.bytes < size) return undefined;
  if (pending.bytes > size) throw new Error("more came than was announced");
  const endMs = performance.now() - pending.started;
  return { status, headMs, endMs, bytes: pending.bytes, body: Buffer.concat(pending.kept) };
}

function readHead(head: string, { method }: Call): { status: number; size: number } {
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
  if (method === "HEAD" || status === 304 || status === 204) return { status, size: 0 };
  const length = /^content-length:\s*(\d+)\s*$/im.exec(head)?.[1];
  if (length === undefined) throw new Error("the answer does not say how long it is");
  return { status, size: Number(length) };
}
