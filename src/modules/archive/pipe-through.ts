// Pulls chunks through a zlib stream: the source is read only as fast as the result is used.

import type { Transform } from "node:stream";

/** Ends with the source's own error, or with `broken()` when the decoder fails; may be left at any chunk. */
export async function* through(
  decoder: Transform,
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  broken: () => Error,
): AsyncGenerator<Uint8Array, void, undefined> {
  const feeding = feed(decoder, source);
  try {
    yield* chunksOf(decoder);
  } catch {
    throw (await feeding) ?? broken();
  } finally {
    decoder.destroy();
    await feeding;
  }
}

async function* chunksOf(decoder: Transform): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of decoder) if (chunk instanceof Uint8Array) yield chunk;
}

/** The error of the source, if it had one. Each chunk is done with before the next one is asked for. */
async function feed(
  decoder: Transform,
  source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<Error | undefined> {
  const closed = new Promise<void>((resolve) => void decoder.once("close", resolve));
  try {
    for await (const chunk of source) {
      const written = new Promise<void>((resolve) => void decoder.write(chunk, () => resolve()));
      await Promise.race([written, closed]);
      if (decoder.destroyed) return undefined;
    }
    decoder.end();
    return undefined;
  } catch (error) {
    const failure = error instanceof Error ? error : new Error(String(error));
    decoder.destroy(failure);
    return failure;
  }
}
