// Reads the body of a request in batches, with a size limit and deadlines.

import { AppError, malformed } from "../errors.ts";

/** The source of a body: a web stream, or the output of a reader of one. */
export type ByteSource = AsyncIterable<Uint8Array>;

export type PumpOptions = {
  /** Maximum size in bytes. */
  readonly limit: number;
  /** Exact size in bytes, when the sender announced it. */
  readonly expected?: number | undefined;
  /** Ends the reading; its reason becomes the error. */
  readonly signal?: AbortSignal | undefined;
  /** Called with the size of each chunk as soon as it arrives. */
  readonly onBytes?: ((count: number) => void) | undefined;
  /** The reading fails after this time without a byte. */
  readonly idleMs?: number;
  /** The reading fails after this time, whatever the rate. */
  readonly totalMs?: number;
  /** The time over which `minBytesPerSecond` is measured. */
  readonly windowMs?: number;
  readonly minBytesPerSecond?: number;
  /** Awaited before more is read, so a slow consumer slows the sender. The consumer owns each batch. */
  readonly onChunk: (chunk: Uint8Array) => Promise<void> | void;
};

// The network delivers 16 to 64 KiB at a time; fewer and larger writes take a fifth of the time.
const BATCH_BYTES = 256 * 1024;
const GATHER_BYTES = 64 * 1024;
const SMALL_BYTES = 4 * 1024;
const HOUR_MS = 60 * 60 * 1000;
const FIVE_MINUTES_MS = 5 * 60 * 1000;
const HALF_A_MINUTE_MS = 30 * 1000;
/** Checks for a stalled body within `idleMs`; all of them must find no new byte. */
const IDLE_CHECKS = 6;

/**
 * Returns the size of the body.
 * Errors: `too-large` above the limit, `timeout` when the sender is too slow, `malformed` when the body is truncated or
 * not as long as announced; errors of `onChunk`. No byte above the limit reaches `onChunk`.
 */
export async function pump(body: ByteSource, options: PumpOptions): Promise<number> {
  const batch = createBatch(options.onChunk);
  let total = 0;
  for await (const chunk of onTime(body, options)) {
    total += chunk.byteLength;
    if (total > options.limit) throw tooLarge(options.limit);
    options.onBytes?.(chunk.byteLength);
    const full = batch.add(chunk);
    if (full) await full;
  }
  if (options.expected !== undefined && total !== options.expected) {
    const how = total < options.expected ? "ended early" : "is too long";
    throw malformed(`The body ${how}: it has ${total} bytes, and ${options.expected} were announced.`);
  }
  await batch.flush();
  return total;
}

export function tooLarge(limit: number): AppError {
  return new AppError("too-large", `The body is larger than the limit of ${limit} bytes.`, { members: { limit } });
}

/** `add()` returns a promise to await only when the chunk completes a batch. */
type Batch = { add(chunk: Uint8Array): Promise<void> | undefined; flush(): Promise<void> };

function createBatch(onChunk: PumpOptions["onChunk"]): Batch {
  let chunks: Uint8Array[] = [];
  let bytes = 0;
  /** The buffer in which small chunks are collected, to become the next one of `chunks`. */
  let gathered: { readonly into: Buffer; filled: number } | undefined;

  function endGathering(): void {
    if (gathered) chunks.push(gathered.into.subarray(0, gathered.filled));
    gathered = undefined;
  }

  async function flush(): Promise<void> {
    endGathering();
    const [only] = chunks;
    if (!only) return;
    const batch = chunks.length === 1 ? only : Buffer.concat(chunks, bytes);
    chunks = [];
    bytes = 0;
    await onChunk(batch);
  }

  /** Copies a small chunk: thousands of objects of a few bytes each would take far more memory than the bytes. */
  function gather(chunk: Uint8Array): void {
    if (gathered && gathered.filled + chunk.byteLength > gathered.into.byteLength) endGathering();
    gathered ??= { into: Buffer.allocUnsafeSlow(GATHER_BYTES), filled: 0 };
    gathered.into.set(chunk, gathered.filled);
    gathered.filled += chunk.byteLength;
  }

  return {
    flush,
    add: (chunk) => {
      if (chunk.byteLength === 0) return undefined;
      bytes += chunk.byteLength;
      if (chunk.byteLength <= SMALL_BYTES) gather(chunk);
      else {
        endGathering();
        chunks.push(chunk);
      }
      return bytes >= BATCH_BYTES ? flush() : undefined;
    },
  };
}

/** Yields the chunks of `body` until a deadline passes. */
async function* onTime(body: ByteSource, options: PumpOptions): AsyncGenerator<Uint8Array, void, undefined> {
  const deadlines = createDeadlines(options);
  const iterator = body[Symbol.asyncIterator]();
  let done = false;
  try {
    for (;;) {
      const next = await deadlines.unlessPassed(iterator.next());
      done = next.done === true;
      if (next.done === true) return;
      deadlines.count(next.value.byteLength);
      yield next.value;
    }
  } catch (error) {
    throw transportError(error, options.limit);
  } finally {
    deadlines.end();
    // Not awaited, since a stuck source never responds.
    if (!done) void Promise.resolve(iterator.return?.()).catch(() => undefined);
  }
}

type Deadlines = {
  unlessPassed<T>(waiting: Promise<T>): Promise<T>;
  count(bytes: number): void;
  end(): void;
};

function createDeadlines(options: PumpOptions): Deadlines {
  const { totalMs = HOUR_MS, windowMs = FIVE_MINUTES_MS, minBytesPerSecond = 16 * 1024, signal } = options;
  const { idleMs = HALF_A_MINUTE_MS } = options;
  const least = (minBytesPerSecond * windowMs) / 1000;
  let [inWindow, sinceCheck, idleChecks] = [0, 0, 0];
  let passed: Error | undefined;
  let stop: ((error: Error) => void) | undefined;

  function pass(error: Error): void {
    passed ??= error;
    stop?.(passed);
  }

  const total = setTimeout(() => pass(late(`The body did not arrive within ${totalMs / 1000} seconds.`)), totalMs);
  // `stop` is set only while waiting for the sender: it is not to blame for the time of the server's disk.
  const rate = setInterval(() => {
    const isSlow = stop !== undefined && inWindow < least;
    inWindow = 0;
    if (isSlow) pass(late(`The body arrived too slowly: at least ${minBytesPerSecond} bytes per second are expected.`));
  }, windowMs);
  const idle = setInterval(() => {
    idleChecks = stop !== undefined && sinceCheck === 0 ? idleChecks + 1 : 0;
    sinceCheck = 0;
    if (idleChecks >= IDLE_CHECKS) pass(late(`No byte of the body arrived for ${idleMs / 1000} seconds.`));
  }, idleMs / IDLE_CHECKS);
  const abort = (): void => pass(signal?.reason instanceof Error ? signal.reason : late("The upload was aborted."));
  signal?.addEventListener("abort", abort);

  return {
    unlessPassed: (waiting) =>
      // One promise per chunk: racing against one long-lived promise would keep every chunk in memory.
      new Promise((resolve, reject) => {
        if (passed) reject(passed);
        stop = reject;
        waiting.then(resolve, reject).finally(() => (stop = undefined));
      }),
    count: (bytes) => {
      inWindow += bytes;
      sinceCheck += bytes;
    },
    end: () => {
      clearTimeout(total);
      clearInterval(rate);
      clearInterval(idle);
      signal?.removeEventListener("abort", abort);
    },
  };
}

function late(message: string): AppError {
  return new AppError("timeout", message);
}

/** Bun throws `AbortError` for every connection that is lost in the middle of a body, whatever the cause. */
function transportError(error: unknown, limit: number): unknown {
  if (!(error instanceof Error) || error instanceof AppError) return error;
  if (error.name === "AbortError")
    return malformed("The body ended early: the connection was closed.", { cause: error });
  return error.message.includes("maxRequestBodySize") ? tooLarge(limit) : error;
}
