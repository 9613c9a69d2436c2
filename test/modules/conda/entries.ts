// Entries of documents as a publish would store them.

import { canonicalRecord } from "../../../src/modules/conda/record.ts";
import type { ShardEntry } from "../../../src/modules/conda/shards.ts";

type Given = Readonly<Record<string, unknown>> & { readonly name: string };

export const MD5 = "0123456789abcdef".repeat(2);
export const SHA256 = "fedcba9876543210".repeat(4);

export function entryOf(
  { name, version = "1.0", build = "0", ...rest }: Given,
  columns: Partial<ShardEntry> & { readonly format?: "conda" | "tar.bz2" } = {},
): ShardEntry {
  const { format = "conda", ...given } = columns;
  return {
    fileName: `${name}-${String(version)}-${String(build)}.${format}`,
    record: canonicalRecord({ build, build_number: 0, depends: [], name, subdir: "noarch", version, ...rest }),
    md5: MD5,
    sha256: SHA256,
    size: 7,
    indexedTimestamp: 1_700_000_000_000,
    runExports: {},
    ...given,
  };
}
