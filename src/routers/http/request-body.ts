// Bodies of requests. After an early refusal the rest of a body is read and dropped before the connection is closed.

import { setTimeout as pause } from "node:timers/promises";

/** Bounds of dropping a body: bytes and time of one request, and the number of requests at a time. */
const DRAIN_BYTES = 64 * 1024 ** 2;
const DRAIN_MS = 30_000;
const DRAINS = 32;
/** A client, or a proxy without CPU time, that sends nothing for this long has read the response or waits for its end. */
const QUIET_MS = 1000;

type Reader = { next(): Promise<IteratorResult<Uint8Array, undefined>>; isDone(): boolean };

export type RequestBodies = {
  /** The body of a request, null without one. Leaving the iteration early keeps the rest for `refuse()`. */
  of(request: Request): AsyncIterable<Uint8Array> | null;
  /**
   * Returns the response to send for a refusal. If a part of the body is unread, the content is sent at once, and the
   * connection is closed after the rest of the body has been dropped. If it were closed at once, the system would discard
   * what the client has not read yet: curl would report a broken pipe, and a proxy 502.
   */
  refuse(request: Request, refusal: Response): Promise<Response>;
};

export function createRequestBodies({ now }: { readonly now: () => number }): RequestBodies {
  const readers = new WeakMap<Request, Reader>();
  let draining = 0;

  function readerOf(request: Request): Reader | undefined {
    const known = readers.get(request);
    if (known || !request.body) return known;
    const reader = createReader(request.body);
    readers.set(request, reader);
    return reader;
  }

  async function drainOne(reader: Reader): Promise<void> {
    if (draining >= DRAINS) return;
    draining += 1;
    await drain(reader, now).finally(() => (draining -= 1));
  }

  return {
    of: (request) => {
      const reader = readerOf(request);
      return reader ? iterable(reader) : null;
    },
    refuse: async (request, refusal) => {
      const reader = readerOf(request);
      if (!reader || reader.isDone()) return refusal;
      const { status } = refusal;
      const headers = new Headers(refusal.headers);
      headers.set("connection", "close");
      headers.delete("content-length");
      const content = await refusal.bytes();
      return new Response(
        streamOf(content, () => drainOne(reader)),
        { status, headers },
      );
    },
  };
}

function createReader(body: ReadableStream<Uint8Array>): Reader {
  const reader = body.getReader();
  let done = false;
  return {
    isDone: () => done,
    next: async () => {
      const result = await reader.read();
      done = result.done;
      return result.done ? { done: true, value: undefined } : { done: false, value: result.value };
    },
  };
}

function iterable({ next }: Reader): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: () => ({ next }) };
}

/** The content, and then an end that waits for `work`, which begins once the content has been taken. */
function streamOf(content: Uint8Array, work: () => Promise<void>): ReadableStream<Uint8Array> {
  let isSent = false;
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
    if (!isSent && content.byteLength > 0) {
      isSent = true;
      controller.enqueue(content);
      return;
    }
    await work();
    controller.close();
  };
  return new ReadableStream({ pull }, { highWaterMark: 0 });
}

async function drain(reader: Reader, now: () => number): Promise<void> {
  const end = now() + DRAIN_MS;
  for (let bytes = 0; bytes < DRAIN_BYTES && now() < end;) {
    // A body fails when its client has closed the connection.
    const next = reader.next().catch(() => undefined);
    const chunk = await Promise.race([next, pause(QUIET_MS)]);
    if (!chunk || chunk.done === true) return;
    bytes += chunk.value.byteLength;
  }
}
