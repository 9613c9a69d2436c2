// Reads the body of a request: counted, bounded, in batches, and with deadlines of its own.

import { AppError, malformed } from "../errors.ts";

/** What a body is read from: a web stream, or what a reader made of one. */
export type ByteSource = AsyncIterable<Uint8Array>;

export type PumpOptions = {
  /** Bytes that are taken at most. */
  readonly limit: number;
  /** Bytes there must be, when the sender announced them. */
  readonly expected?: number | undefined;
  /** Ends the reading; its reason is the error. */
  readonly signal?: AbortSignal | undefined;
  /** Told of all that arrives, at once. */
  readonly onBytes?: ((count: number) => void) | undefined;
  /** As long without a byte, and the body is given up. */
  readonly idleMs?: number;
  /** Whatever the rate, the body has arrived by then. */
  readonly totalMs?: number;
  /** The sender is judged by the bytes of each such span. */
  readonly windowMs?: number;
  readonly minBytesPerSecond?: number;
  /** Awaited before more is read, so a slow consumer slows the sender. A batch is the consumer's own to keep. */
  readonly onChunk: (chunk: Uint8Array) => Promise<void> | void;
};

// The network gives 16 to 64 KiB at a time; fewer and larger writes take a fifth of the time.
const BATCH_BYTES = 256 * 1024;
const GATHER_BYTES = 64 * 1024;
const SMALL_BYTES = 4 * 1024;
const HOUR_MS = 60 * 60 * 1000;
const FIVE_MINUTES_MS = 5 * 60 * 1000;
const HALF_A_MINUTE_MS = 30 * 1000;
/** Whether a body stands still is looked at so many times before it is given up. */
const IDLE_LOOKS = 6;

/**
 * Answers how many bytes there were.
 * Errors: `too-large` past the limit, `timeout` for a sender that is too slow, `malformed` for a body that ended early
 * or is not as long as announced; what `onChunk` throws. Nothing past the limit reaches `onChunk`.
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

/** `add()` answers what is to be waited for, which most chunks have nothing of. */
type Batch = { add(chunk: Uint8Array): Promise<void> | undefined; flush(): Promise<void> };

function createBatch(onChunk: PumpOptions["onChunk"]): Batch {
  let chunks: Uint8Array[] = [];
  let bytes = 0;
  /** Of the last of `chunks`: what it has room for, when small ones are gathered in it. */
  let gathered: { readonly into: Buffer; filled: number } | undefined;

  function endGathering(): void {
    if (gathered) chunks.push(gathered.into.subarray(0, gathered.filled));
    gathered = undefined;
  }

  async function flush(): Promise<void> {
    endGathering();
    const [only] = chunks;
    if (!only) return;
    const whole = chunks.length === 1 ? only : Buffer.concat(chunks, bytes);
    chunks = [];
    bytes = 0;
    await onChunk(whole);
  }

  /** Thousands of objects for a few bytes each would take far more memory than the bytes. */
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

/** The chunks of `body`, until one of the deadlines passes. */
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
    // Not awaited: a source that is stuck never answers.
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
  let [inWindow, sinceLook, idleLooks] = [0, 0, 0];
  let passed: Error | undefined;
  let stop: ((error: Error) => void) | undefined;

  function pass(error: Error): void {
    passed ??= error;
    stop?.(passed);
  }

  const total = setTimeout(() => pass(late(`The body did not arrive within ${totalMs / 1000} seconds.`)), totalMs);
  // While our own disk is written to, the sender is not to blame.
  const rate = setInterval(() => {
    const isSlow = stop !== undefined && inWindow < least;
    inWindow = 0;
    if (isSlow) pass(late(`The body arrived too slowly: at least ${minBytesPerSecond} bytes per second are expected.`));
  }, windowMs);
  const idle = setInterval(() => {
    idleLooks = stop !== undefined && sinceLook === 0 ? idleLooks + 1 : 0;
    sinceLook = 0;
    if (idleLooks >= IDLE_LOOKS) pass(late(`No byte of the body arrived for ${idleMs / 1000} seconds.`));
  }, idleMs / IDLE_LOOKS);
  const cut = (): void => pass(signal?.reason instanceof Error ? signal.reason : late("The upload was ended."));
  signal?.addEventListener("abort", cut);

  return {
    unlessPassed: (waiting) =>
      // A promise per chunk: racing one long promise would keep every chunk in memory.
      new Promise((resolve, reject) => {
        if (passed) reject(passed);
        stop = reject;
        waiting.then(resolve, reject).finally(() => (stop = undefined));
      }),
    count: (bytes) => {
      inWindow += bytes;
      sinceLook += bytes;
    },
    end: () => {
      clearTimeout(total);
      clearInterval(rate);
      clearInterval(idle);
      signal?.removeEventListener("abort", cut);
    },
  };
}

function late(message: string): AppError {
  return new AppError("timeout", message);
}

/** Bun names a connection that went away in the middle of a body `AbortError`, however it went. */
function transportError(error: unknown, limit: number): unknown {
  if (!(error instanceof Error) || error instanceof AppError) return error;
  if (error.name === "AbortError")
    return malformed("The body ended early: the connection was closed.", { cause: error });
  return error.message.includes("maxRequestBodySize") ? tooLarge(limit) : error;
}
