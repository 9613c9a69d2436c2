// Converts segments to and from stored rows: compressed blocks with the hash and size of the text.

import type { SegmentRow } from "../../../models/index/segments.ts";
import { sha256Hex } from "../../../modules/hash.ts";
import { compressBlocks, decompressBlocks } from "../../../modules/splice/zstd-frame.ts";
import type { Segment } from "./chunking.ts";

/** `known`: stored rows by hash; a text that equals one of them is not compressed again. */
export function encodeSegment(segment: Segment, known: ReadonlyMap<string, SegmentRow>): SegmentRow {
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
