// Pipes chunks through a zlib stream; reads the source only as fast as the output is consumed.

import type { Transform } from "node:stream";

/** Errors: the source's own, or `broken()` when the decoder fails. The consumer can stop after any chunk. */
export async function* pipeThrough(
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

/** Returns the error of the source, if any. The decoder consumes each chunk before the next one is requested. */
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
