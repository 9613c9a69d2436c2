// Segments as they are stored: compressed, beside what identifies them.

import type { SegmentRow } from "../../../models/index/segments.ts";
import { sha256Hex } from "../../../modules/hash.ts";
import { compressBlocks, decompressBlocks } from "../../../modules/splice/zstd-frame.ts";
import type { Segment } from "./chunking.ts";

/** `known` are rows by their hash: a text that is among them is not compressed again. */
export function compressed(segment: Segment, known: ReadonlyMap<string, SegmentRow>): SegmentRow {
  const { start, text } = segment;
  const bytes = Buffer.from(text);
  const hash = sha256Hex(bytes);
  const same = known.get(hash);
  if (same) return { ...same, start };
  const blocks = compressBlocks(bytes);
  return { start, hash, size: bytes.byteLength, window: blocks.windowSize, blocks: blocks.blocks };
}

export function textOf({ blocks, size, window }: SegmentRow): Buffer {
  const text = decompressBlocks({ blocks, size, windowSize: window });
  return Buffer.from(text.buffer, text.byteOffset, text.byteLength);
}
