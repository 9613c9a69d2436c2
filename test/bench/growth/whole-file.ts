// A separate process: reads a document, compresses it as one file at the highest level, and prints the result.

import { z } from "zod";

import { answerParent } from "./child.ts";

const loadShape = z.object({ url: z.string() });

export const wholeFileShape = z.object({
  level: z.number(),
  bytes: z.number(),
  packed: z.number(),
  seconds: z.number(),
});

const LEVEL = 19;

if (import.meta.main) await answerParent(loadShape, run);

async function run({ url }: z.infer<typeof loadShape>): Promise<z.infer<typeof wholeFileShape>> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} was answered ${answer.status}`);
  const bytes = await answer.bytes();
  const started = performance.now();
  const packed = await Bun.zstdCompress(bytes, { level: LEVEL });
  const seconds = (performance.now() - started) / 1000;
  return { level: LEVEL, bytes: bytes.byteLength, packed: packed.byteLength, seconds };
}
