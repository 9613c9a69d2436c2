// What decides the bytes of documents beside the records: derived data of another codec is never read.

import { ZSTD_LEVEL } from "../../../modules/splice/zstd-frame.ts";
import { BOUNDARY_RULE } from "./chunking.ts";

/** Raised when the text of entries, the way documents are put together, or the tables of index.db change. */
const FORMAT = 8;

export const CODEC = JSON.stringify([FORMAT, BOUNDARY_RULE, ZSTD_LEVEL, process.versions.zstd ?? "", Bun.version]);

/** The same with what else decides the bytes of a format. */
export function codecOf(parts: readonly unknown[]): string {
  return JSON.stringify([CODEC, ...parts]);
}
