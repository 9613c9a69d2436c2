// The body of an object as a stream that survives a lost connection, and that keeps none for a reader who pauses.
// Hand-written: the SDK returns the body of one request.

import type { Readable } from "node:stream";
import { AppError } from "../../../errors.ts";

export type Body = {
  readonly content: Readable;
  /** Ends the request; safe to call twice. */
  release(): void;
};

export type DownloadParts = {
  /** A body that is open already, beginning at `start`. */
  readonly first: Body | undefined;
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  /** Opens the rest of the same object. */
  readonly reopen: (at: number) => Promise<Body>;
  /** Whether others wait for a connection. */
  readonly isWanted: () => boolean;
};

/** Lost connections of one download, each of which is resumed where it ended. */
const RESUMES = 3;
/** A body without a byte for this time is lost. */
const IDLE_MS = 10_000;
/** A reader who takes nothing for this time loses the connection to the service, and gets a new one when it continues. */
const PARK_MS = 5000;
/** The same while others wait for a connection: slow readers, however many, take turns with them. */
const PARK_IF_WANTED_MS = 250;

type Reading = { readonly body: Body; readonly chunks: AsyncIterator<unknown> };

/** The stream fails when the service does: it never ends before the last byte, and never delivers more. */
export function downloadOf(parts: DownloadParts): ReadableStream<Uint8Array<ArrayBuffer>> {
  const { end, reopen, isWanted } = parts;
  let reading = parts.first && readingOf(parts.first);
  let at = parts.start;
  let losses = 0;
  let parking: ReturnType<typeof setInterval> | undefined;

  function release(): void {
    clearInterval(parking);
    reading?.body.release();
    reading = undefined;
  }

  function park(): void {
    let idleMs = 0;
    parking = setInterval(() => {
      idleMs += PARK_IF_WANTED_MS;
      if (idleMs >= PARK_MS || isWanted()) release();
    }, PARK_IF_WANTED_MS);
    parking.unref();
  }

  async function next(): Promise<Uint8Array<ArrayBuffer>> {
    for (;;) {
      reading ??= readingOf(await reopen(at));
      try {
        const step = await withinIdleTime(reading.chunks.next());
        if (step.done === true) throw new Error(`the storage ended the body at ${at} of ${end} bytes`);
        const chunk = bytesOf(step.value);
        if (at + chunk.byteLength > end) throw new Error(`the storage sent more than ${end} bytes`);
        return chunk;
      } catch (error) {
        release();
        losses += 1;
        if (losses > RESUMES || error instanceof AppError) throw error;
      }
    }
  }

  park();
  return new ReadableStream(
    {
      pull: async (controller) => {
        clearInterval(parking);
        try {
          const chunk = await next();
          at += chunk.byteLength;
          controller.enqueue(chunk);
        } catch (error) {
          release();
          throw error;
        }
        if (at < end) return park();
        release();
        controller.close();
      },
      cancel: release,
    },
    { highWaterMark: 0 },
  );
}

/** Reads a body of known size completely. Errors: when it has another size. */
export async function readAll({ content, release }: Body, size: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(size);
  let at = 0;
  try {
    for await (const part of content) {
      const chunk = bytesOf(part);
      if (at + chunk.byteLength > size) throw new Error(`the storage sent more than ${size} bytes`);
      bytes.set(chunk, at);
      at += chunk.byteLength;
    }
    if (at < size) throw new Error(`the storage ended the body at ${at} of ${size} bytes`);
    return bytes;
  } finally {
    release();
  }
}

function readingOf(body: Body): Reading {
  return { body, chunks: body.content[Symbol.asyncIterator]() };
}

function bytesOf(chunk: unknown): Uint8Array<ArrayBuffer> {
  if (!(chunk instanceof Uint8Array) || !(chunk.buffer instanceof ArrayBuffer)) throw new Error("a body of no bytes");
  return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
}

async function withinIdleTime<T>(waiting: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the storage sent no byte for ${IDLE_MS} ms`)), IDLE_MS);
  });
  try {
    return await Promise.race([waiting, late]);
  } finally {
    clearTimeout(timer);
  }
}
