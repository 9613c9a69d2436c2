// Identifies what decides document bytes besides the records: derived data with another codec is never read.

import { ZSTD_LEVEL } from "../../../modules/splice/zstd-frame.ts";
import { BOUNDARY_RULE } from "./chunking.ts";

/** Increment when the text of entries, the composition of documents, or the tables of index.db change. */
const FORMAT = 9;

export const CODEC = JSON.stringify([FORMAT, BOUNDARY_RULE, ZSTD_LEVEL, process.versions.zstd ?? "", Bun.version]);

/** The codec, extended by what else decides the bytes of a package type's documents. */
export function codecOf(parts: readonly unknown[]): string {
  return JSON.stringify([CODEC, ...parts]);
}
