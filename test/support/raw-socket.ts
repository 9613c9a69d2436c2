// A TCP client that sends exactly the given bytes, and reads responses one by one.

export type RawAnswer = { readonly status: number; readonly headers: Headers; readonly body: string };

export type RawSocket = {
  /** Resolves once the system has accepted all bytes; false when the server has closed. */
  send(data: string | Uint8Array): Promise<boolean>;
  /** The next response, after any `100 Continue`; undefined if the connection ends without one. `head` has no body. */
  answer(options?: { readonly head?: boolean }): Promise<RawAnswer | undefined>;
  /** Whether the server closes within that time. */
  closesWithin(ms: number): Promise<boolean>;
  /** Reads nothing until `resume()`. */
  pause(): void;
  resume(): void;
  /** Ends the client's side only. */
  halfClose(): void;
  /** Ends both sides at once, with a reset. */
  reset(): void;
  close(): void;
};

const PATIENCE_MS = 10_000;

export async function openSocket(port: number): Promise<RawSocket> {
  const inbox = createInbox();
  let drained = Promise.withResolvers<void>();
  const wake = (): void => {
    drained.resolve();
    drained = Promise.withResolvers<void>();
  };
  const close = (): void => {
    inbox.close();
    wake();
  };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    socket: {
      data: (_, chunk) => inbox.add(chunk),
      drain: wake,
      end: (ended) => {
        close();
        ended.end();
      },
      close,
      error: close,
    },
  });
  return {
    send: async (data) => {
      let rest = typeof data === "string" ? Buffer.from(data) : data;
      while (rest.byteLength > 0 && !inbox.isClosed()) {
        const { promise } = drained;
        const written = socket.write(rest);
        if (written < 0) return false;
        rest = rest.subarray(written);
        if (rest.byteLength > 0) await promise;
      }
      return rest.byteLength === 0;
    },
    answer: async ({ head = false } = {}) => {
      for (;;) {
        const answer = await readAnswer(inbox, head);
        if (answer?.status !== 100) return answer;
      }
    },
    closesWithin: (ms) => inbox.waitFor(() => inbox.isClosed(), ms),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    halfClose: () => socket.shutdown(),
    reset: () => socket.terminate(),
    close: () => void socket.end(),
  };
}

/** Sends the bytes on a new connection and returns its first response. */
export async function exchange(port: number, data: string): Promise<RawAnswer | undefined> {
  const socket = await openSocket(port);
  try {
    await socket.send(data);
    return await socket.answer({ head: data.startsWith("HEAD ") });
  } finally {
    socket.close();
  }
}

/** The text of an HTTP/1.1 request; `undefined` omits a header. */
export function requestText(
  line: string,
  headers: Readonly<Record<string, string | number | undefined>> = {},
  body = "",
): string {
  const given = Object.entries({ host: "localhost", ...headers }).filter(([, value]) => value !== undefined);
  return `${line} HTTP/1.1\r\n${given.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body}`;
}

type Inbox = {
  add(chunk: Uint8Array): void;
  close(): void;
  isClosed(): boolean;
  /** The unread bytes that arrived, one character for each byte. */
  text(): string;
  take(length: number): string;
  waitFor(condition: () => boolean, ms: number): Promise<boolean>;
};

function createInbox(): Inbox {
  let text = "";
  let closed = false;
  let changed = Promise.withResolvers<void>();
  const notify = (): void => {
    changed.resolve();
    changed = Promise.withResolvers<void>();
  };
  return {
    add: (chunk) => {
      text += Buffer.from(chunk).toString("latin1");
      notify();
    },
    close: () => {
      closed = true;
      notify();
    },
    isClosed: () => closed,
    text: () => text,
    take: (length) => {
      const head = text.slice(0, length);
      text = text.slice(length);
      return head;
    },
    waitFor: async (condition, ms) => {
      const end = performance.now() + ms;
      const timer = setTimeout(notify, ms + 1);
      while (!condition() && performance.now() < end) await changed.promise;
      clearTimeout(timer);
      return condition();
    },
  };
}

async function readAnswer(inbox: Inbox, isHead: boolean): Promise<RawAnswer | undefined> {
  const end = (): number => inbox.text().indexOf("\r\n\r\n");
  await inbox.waitFor(() => end() >= 0 || inbox.isClosed(), PATIENCE_MS);
  if (end() < 0) return undefined;
  const [first = "", ...lines] = inbox
    .take(end() + 4)
    .trim()
    .split("\r\n");
  const headers = new Headers(lines.map((line): [string, string] => splitHeader(line)));
  const status = Number(first.split(" ")[1]);
  const hasBody = !isHead && status !== 204 && status !== 304;
  if (hasBody && headers.get("transfer-encoding") === "chunked")
    return { status, headers, body: status < 400 ? await readChunks(inbox) : await readChunk(inbox) };
  const length = hasBody ? Number(headers.get("content-length") ?? 0) : 0;
  await inbox.waitFor(() => inbox.text().length >= length || inbox.isClosed(), PATIENCE_MS);
  return { status, headers, body: inbox.take(length) };
}

async function readChunks(inbox: Inbox): Promise<string> {
  const chunks: string[] = [];
  for (let chunk = await readChunk(inbox); chunk !== ""; chunk = await readChunk(inbox)) chunks.push(chunk);
  return chunks.join("");
}

/** The first chunk, which holds the complete content of a refusal; its end may follow much later. */
async function readChunk(inbox: Inbox): Promise<string> {
  const end = (): number => inbox.text().indexOf("\r\n");
  await inbox.waitFor(() => end() >= 0 || inbox.isClosed(), PATIENCE_MS);
  const length = Number.parseInt(inbox.take(end() + 2), 16);
  await inbox.waitFor(() => inbox.text().length >= length + 2 || inbox.isClosed(), PATIENCE_MS);
  const body = inbox.take(length);
  inbox.take(2);
  return body;
}

function splitHeader(line: string): [string, string] {
  const colon = line.indexOf(":");
  return [line.slice(0, colon), line.slice(colon + 1).trim()];
}
