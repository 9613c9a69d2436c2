// How much may be stored of one package: whatever goes into documents is read again whenever one of them is made.

import type { PackageMetadata } from "./archive.ts";
import type { Finding } from "./findings.ts";
import { STORED_BYTES } from "../stored-budget.ts";

/** What is kept beside the record; stored as JSON. */
export type StoredMetadata = PackageMetadata & { readonly findings: readonly Finding[] };

/** The finding that refuses a package of which more would be stored. */
export function storedProblem(record: string, metadata: StoredMetadata): Finding | undefined {
  const total = Buffer.byteLength(record) + bytesOf(metadata);
  if (total <= STORED_BYTES) return undefined;
  const members: (readonly [path: string, bytes: number])[] = [
    ["info/index.json", Buffer.byteLength(record)],
    ["info/run_exports.json", bytesOf(metadata.runExports)],
    ["info/about.json", bytesOf(metadata.about)],
  ];
  const [path, bytes] = members.reduce((largest, member) => (member[1] > largest[1] ? member : largest));
  return {
    rule: "stored-size",
    level: "refused",
    path,
    message: `${bytes} bytes of ${path} would be stored, ${total} bytes with the rest; the limit is ${STORED_BYTES} bytes.`,
    fix: "Shorten the file: record, run exports, about and findings count together.",
  };
}

function bytesOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
