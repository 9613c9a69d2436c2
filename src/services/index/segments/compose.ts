// Joins segments into a document in one of three forms, and computes its hash without reading the text.

import type { IndexScope } from "../../../models/index/scope.ts";
import type { DerivedSegments, SegmentSummary } from "../../../models/index/segments.ts";
import { createSha256, sha256Hex } from "../../../modules/hash.ts";
import {
  compressBzip2Blocks,
  MAX_BZIP2_INPUT,
  spliceBzip2,
  type Bzip2Blocks,
} from "../../../modules/splice/bzip2-stream.ts";
import {
  compressBlocks,
  decompressBlocks,
  PAD,
  SEPARATOR,
  ZSTD_LEVEL,
  zstdExtents,
  type ZstdBlocks,
} from "../../../modules/splice/zstd-frame.ts";
import type { Form } from "../documents.ts";
import { CODEC } from "./codec.ts";
import type { DerivedDraft } from "../../../modules/storage/derived-files.ts";
import type { Layout } from "./layout.ts";
import type { Pause } from "../steps/long-work.ts";
import { entriesIn } from "./entries.ts";

/** The store of the segments. */
export type SegmentSource = Pick<DerivedSegments, "segments" | "blocks" | "withoutBzip2" | "bzip2" | "setBzip2">;

/** A chunk of a document's bytes. Chunks of the same document with the same key have the same bytes. */
export type Chunk = { readonly key: string | undefined; bytes(): Uint8Array };

export type Composition = {
  /** Hash of the codec, form, segments and frame: identifies the exact bytes. */
  readonly hash: string;
  /** Bytes of the text. */
  readonly textSize: number;
  /** The chunks of the document in order, each produced on demand. */
  chunks(): Iterable<Chunk>;
  /** A file that already contains the document. */
  readonly draft?: DerivedDraft;
};

/** The document's bytes, produced on demand. */
export function* bytesOf({ chunks }: Pick<Composition, "chunks">): Generator<Uint8Array, void, undefined> {
  for (const chunk of chunks()) yield chunk.bytes();
}

export function composeSegmented(
  derived: SegmentSource,
  scope: IndexScope,
  layout: Layout,
  options: { readonly form: Form; readonly yanked: readonly string[] },
): Composition {
  const parts = partsOf(derived, scope, layout, options.yanked);
  const { form } = options;
  const identity = parts.map((part) => (part.kind === "text" ? part.text : part.row.hash));
  return {
    hash: sha256Hex(JSON.stringify([CODEC, form, identity])),
    textSize: parts.reduce((sum, part) => sum + prefix(part).byteLength + sizeOf(part), 0),
    chunks: () => {
      switch (form) {
        case "json":
          return jsonChunks(derived, parts);
        case "zst":
          return zstdChunks(derived, parts);
        case "bz2":
          return eachAsChunk(bzip2Parts(derived, parts));
      }
    },
  };
}

/** A document without segments, identified by its text. `parts` must return the same text each time. */
export function unsegmentedDocument(parts: () => Iterable<string>, form: Form): Composition {
  const hash = createSha256().update(JSON.stringify([CODEC, form]));
  let textSize = 0;
  for (const part of parts()) {
    hash.update(part);
    textSize += Buffer.byteLength(part);
  }
  return { hash: hash.digest("hex"), textSize, chunks: () => wholeChunks(parts(), form) };
}

function* wholeChunks(parts: Iterable<string>, form: Form): Generator<Chunk, void, undefined> {
  if (form === "json") for (const part of parts) yield chunkOf(Buffer.from(part));
  else yield chunkOf(packed(Buffer.from([...parts].join("")), form));
}

/** A chunk without a key, which never has an equal chunk in a previous file. */
export function chunkOf(bytes: Uint8Array): Chunk {
  return { key: undefined, bytes: () => bytes };
}

function packed(bytes: Uint8Array, form: "zst" | "bz2"): Uint8Array {
  if (form === "zst") return Bun.zstdCompressSync(bytes, { level: ZSTD_LEVEL });
  return Buffer.concat([...spliceBzip2([compressBzip2(bytes)])]);
}

type Part =
  | { readonly kind: "text"; readonly text: string; readonly isFirst: boolean }
  | { readonly kind: "segment"; readonly row: SegmentSummary; readonly isFirst: boolean };

function partsOf(derived: SegmentSource, scope: IndexScope, layout: Layout, yanked: readonly string[]): Part[] {
  const segments = layout.groups.map((group) =>
    derived
      .segments({ ...scope, group: group.name })
      .map((row): Part => ({ kind: "segment", row, isFirst: row.start === "" })),
  );
  // Optional groups come last: if one of them has entries, all are shown.
  const hasOptional = layout.groups.some((group, at) => !group.always && (segments[at]?.length ?? 0) > 0);
  const shown = hasOptional ? layout.groups.length : layout.groups.filter((group) => group.always).length;
  return layout
    .frame(scope.section, yanked, shown)
    .flatMap((text, at): Part[] => [{ kind: "text", text, isFirst: at === 0 }, ...(segments[at] ?? [])]);
}

const NOTHING = new Uint8Array(0);

/** The bytes before a part: a comma between two segments of a group, white space elsewhere, nothing at the start. */
function prefix(part: Part): Uint8Array {
  if (part.kind === "text") return part.isFirst ? NOTHING : PAD;
  return part.isFirst ? PAD : SEPARATOR;
}

function sizeOf(part: Part): number {
  return part.kind === "text" ? Buffer.byteLength(part.text) : part.row.size;
}

/** Frame texts have no key: they are short, and change often. */
function keyOf(part: Part): string | undefined {
  return part.kind === "text" ? undefined : `${part.isFirst ? "first" : "later"} ${part.row.hash}`;
}

function blocksOf(derived: SegmentSource, part: Part): ZstdBlocks {
  if (part.kind === "text") return compressBlocks(Buffer.from(part.text));
  const { row } = part;
  return { blocks: derived.blocks(row.id), size: row.size, windowSize: row.window };
}

function jsonChunks(derived: SegmentSource, parts: readonly Part[]): Chunk[] {
  const text = (part: Part): Uint8Array =>
    part.kind === "text" ? Buffer.from(part.text) : decompressBlocks(blocksOf(derived, part));
  return parts.map((part) => ({ key: keyOf(part), bytes: () => Buffer.concat([prefix(part), text(part)]) }));
}

function zstdChunks(derived: SegmentSource, parts: readonly Part[]): Chunk[] {
  const extents = zstdExtents(
    parts.map((part) => ({
      prefix: prefix(part),
      size: sizeOf(part),
      windowSize: part.kind === "text" ? sizeOf(part) : part.row.window,
      open: () => blocksOf(derived, part),
    })),
  );
  const keys = [undefined, ...parts.map(keyOf), undefined];
  return extents.map((bytes, at) => ({ key: keys[at], bytes }));
}

function* eachAsChunk(parts: Iterable<Uint8Array>): Generator<Chunk, void, undefined> {
  for (const part of parts) yield chunkOf(part);
}

/** The encoder takes seconds for a segment with long repeated extents, so this limit on records bounds their length. */
export const MAX_BZIP2_ENTRY_LENGTH: number = 16 * 1024;

/**
 * Builds the missing bzip2 blocks of segments; returns false when a record is too long for bzip2. The blocks of a
 * segment include its prefix, so that composing a document only joins them.
 */
export function* makeBzip2(
  derived: SegmentSource,
  scope: IndexScope,
  layout: Layout,
): Generator<Pause, boolean, undefined> {
  for (const group of layout.groups) {
    const target = { ...scope, group: group.name };
    const missing = new Set(derived.withoutBzip2(target));
    if (missing.size === 0) continue;
    for (const row of derived.segments(target)) {
      if (!missing.has(row.id)) continue;
      const part: Part = { kind: "segment", row, isFirst: row.start === "" };
      const text = decompressBlocks(blocksOf(derived, part));
      if (entriesIn(Buffer.from(text).toString(), group).some((entry) => entry.text.length > MAX_BZIP2_ENTRY_LENGTH))
        return false;
      derived.setBzip2(row.id, compressBzip2(Buffer.concat([prefix(part), text])));
      yield "step";
    }
  }
  return true;
}

function bzip2Parts(derived: SegmentSource, parts: readonly Part[]): Iterable<Uint8Array> {
  function* each(): Generator<Bzip2Blocks> {
    for (const part of parts) {
      if (part.kind === "text") {
        yield compressBzip2(Buffer.concat([prefix(part), Buffer.from(part.text)]));
        continue;
      }
      const blocks = derived.bzip2(part.row.id);
      if (!blocks) throw new Error("the bzip2 blocks of a segment are not built");
      yield blocks;
    }
  }
  return spliceBzip2(each());
}

/** Several blocks if needed: one long record can make a text larger than a block. */
function compressBzip2(text: Uint8Array): Bzip2Blocks {
  const parts: Bzip2Blocks[] = [];
  for (let at = 0; at < text.byteLength; at += MAX_BZIP2_INPUT) {
    parts.push(compressBzip2Blocks(text.subarray(at, at + MAX_BZIP2_INPUT)));
  }
  return Buffer.concat(parts);
}
