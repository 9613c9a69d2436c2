// Documents that are written sequentially, and so are identified by their text. The text goes to a file in bounded
// steps, because its length is not known in advance.

import { once } from "node:events";
import { constants, createZstdCompress, type ZstdCompress } from "node:zlib";
import { createSha256 } from "../../../modules/hash.ts";
import { ZSTD_LEVEL } from "../../../modules/splice/zstd-frame.ts";
import type { DerivedDraft } from "../../../modules/storage/derived-files.ts";
import { CODEC } from "../segments/codec.ts";
import { chunkOf, unsegmentedDocument, type Composition } from "../segments/compose.ts";
import type { Work } from "../steps/long-work.ts";

export type SpoolOptions = {
  /** Creates an empty draft file. */
  draft(): DerivedDraft;
  readonly form: "json" | "zst";
  /** Maximum bytes of the text. */
  readonly most: number;
};

/** A text up to this size is compressed at once, which takes no longer than a step. */
const SHORT_BYTES = 256 * 1024;

/** Builds a document from parts of its text; undefined when it is longer than `most`. The caller drops the draft. */
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
    else if (plain.byteLength <= SHORT_BYTES) return unsegmentedDocument(textOf(plain), "zst");
    else result = yield* compressInSteps(plain, options);
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

/** Builds one zstd frame with its content size, chunk by chunk. */
async function* compressInSteps(plain: DerivedDraft, options: SpoolOptions): Work<Composition> {
  const packed = options.draft();
  const hash = createSha256().update(identityOf("zst in pieces"));
  const level = { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL };
  const encoder = createZstdCompress({ params: level, pledgedSrcSize: plain.byteLength });
  encoder.on("data", (bytes: Uint8Array) => packed.add(bytes));
  let isComplete = false;
  try {
    for (const chunk of plain.read()) {
      hash.update(chunk);
      await write(encoder, chunk);
      yield "step";
    }
    const ended = once(encoder, "end");
    encoder.end();
    await ended;
    isComplete = true;
    return fromDraft(packed, { hash: hash.digest("hex"), textSize: plain.byteLength });
  } finally {
    encoder.destroy();
    if (!isComplete) packed.drop();
  }
}

async function write(encoder: ZstdCompress, chunk: Uint8Array): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    encoder.write(chunk, (error) => (error ? reject(error) : resolve()));
  });
}
