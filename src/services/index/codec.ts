// What decides the bytes of documents beside the records: derived data of another codec is never read.

import { CUT_RULE } from "./segments.ts";

/** Raised when the text of entries, or the way documents are put together, changes. */
const FORMAT = 1;

export const ZSTD_LEVEL = 15;
export const SHARD_LEVEL = 12;

export const CODEC = JSON.stringify([
  FORMAT,
  CUT_RULE,
  ZSTD_LEVEL,
  SHARD_LEVEL,
  process.versions.zstd ?? "",
  Bun.version,
]);
