// Documents that are written from their beginning to their end, and so are identified by their text: it goes to a file in
// bounded steps, as nothing tells how long it will be.

import { once } from "node:events";
import { constants, createZstdCompress, type ZstdCompress } from "node:zlib";
import { createSha256 } from "../../../modules/hash.ts";
import { ZSTD_LEVEL } from "../../../modules/splice/zstd-frame.ts";
import type { DerivedDraft } from "../../../modules/storage/derived-files.ts";
import { CODEC } from "../segments/codec.ts";
import { chunkOf, wholeDocument, type Composition } from "../segments/compose.ts";
import type { Work } from "../steps/long-work.ts";

export type SpoolOptions = {
  /** An empty file of its own. */
  draft(): DerivedDraft;
  readonly form: "json" | "zst";
  /** Bytes of the text. */
  readonly most: number;
};

/** Up to here a text is compressed at once, which takes no longer than a step. */
const SHORT_BYTES = 256 * 1024;

/** The document of a text that comes in parts; undefined when it is longer than may be. Its draft is the caller's to drop. */
export async function* spoolText(text: AsyncIterable<string>, options: SpoolOptions): Work<Composition | undefined> {
  const plain = options.draft();
  let result: Composition | undefined;
  try {
    const hash = createSha256().update(identityOf(options.form));
    for await (const part of text) {
      const bytes = Buffer.from(part);
      hash.update(bytes);
      plain.add(bytes);
      if (plain.byteLength > options.most) return undefined;
      yield "step";
    }
    if (options.form === "json") result = fromDraft(plain, { hash: hash.digest("hex"), textSize: plain.byteLength });
    else if (plain.byteLength <= SHORT_BYTES) return wholeDocument(textOf(plain), "zst");
    else result = yield* compressed(plain, options);
    return result;
  } finally {
    if (result?.draft !== plain) plain.drop();
  }
}

function identityOf(form: string): string {
  return JSON.stringify([CODEC, form]);
}

function fromDraft(draft: DerivedDraft, { hash, textSize }: Pick<Composition, "hash" | "textSize">): Composition {
  return { hash, textSize, draft, chunks: () => Iterator.from(draft.read()).map(chunkOf) };
}

function textOf(draft: DerivedDraft): () => string[] {
  const text = Buffer.concat([...draft.read()]).toString();
  return () => [text];
}

/** One frame with its content size, made piece by piece. */
async function* compressed(plain: DerivedDraft, options: SpoolOptions): Work<Composition> {
  const packed = options.draft();
  const hash = createSha256().update(identityOf("zst in pieces"));
  const level = { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL };
  const encoder = createZstdCompress({ params: level, pledgedSrcSize: plain.byteLength });
  encoder.on("data", (bytes: Uint8Array) => packed.add(bytes));
  let isDone = false;
  try {
    for (const piece of plain.read()) {
      hash.update(piece);
      await write(encoder, piece);
      yield "step";
    }
    const ended = once(encoder, "end");
    encoder.end();
    await ended;
    isDone = true;
    return fromDraft(packed, { hash: hash.digest("hex"), textSize: plain.byteLength });
  } finally {
    encoder.destroy();
    if (!isDone) packed.drop();
  }
}

async function write(encoder: ZstdCompress, piece: Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    encoder.write(piece, (error) => (error ? reject(error) : resolve()));
  });
}
