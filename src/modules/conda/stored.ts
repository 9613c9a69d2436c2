// Limits what is stored of one package: every build of a document reads the record and the metadata again.

import { z } from "zod";
import type { PackageMetadata } from "./archive.ts";
import type { Finding } from "./findings.ts";
import { STORED_BYTES } from "../stored-budget.ts";
import { isJsonObject } from "./strict-json.ts";

/** Data that is stored as JSON beside the record. */
export type StoredMetadata = PackageMetadata & { readonly findings: readonly Finding[] };

/**
 * Raise it when the meaning of a member changes; text without a version has version 1, whose flag `activate` says that
 * the package has activation or deactivation scripts.
 */
const METADATA_VERSION = 2;

/** Text to store beside a record. `weight`: bytes of the file in the shard of its name. */
export function metadataText(metadata: StoredMetadata, weight: number): string {
  return JSON.stringify({ ...metadata, weight, version: METADATA_VERSION });
}

const objectOf = <Value>(problem: string) => z.custom<Value>((value) => isJsonObject(value), problem);

/** Runs for each file of each document, so it checks only the top level. */
export const storedMetadata = z.object(
  {
    version: z.literal([1, METADATA_VERSION], "has a version that this condarium does not support").default(1),
    runExports: objectOf<PackageMetadata["runExports"]>("has no run exports"),
    about: objectOf<PackageMetadata["about"]>("has an invalid about member").default({}),
    flags: z.custom<readonly string[]>((value) => Array.isArray(value), "has an invalid flags member").default([]),
  },
  "is not an object",
);

/** Throws for text that no publish wrote. */
export function readMetadata(text: string): PackageMetadata {
  const { data, error } = storedMetadata.safeParse(JSON.parse(text));
  if (!data) throw new Error(`the metadata ${error.issues[0]?.message ?? "is invalid"}`);
  const { about, runExports, flags } = data;
  return { about, runExports, flags };
}

/** The findings in the metadata; none when they cannot be read. */
export function storedFindings(text: string): readonly Finding[] {
  try {
    const stored: unknown = JSON.parse(text);
    const findings = isJsonObject(stored) ? stored.findings : undefined;
    return Array.isArray(findings) ? findings.filter((finding) => isFinding(finding)) : [];
  } catch {
    return [];
  }
}

function isFinding(value: unknown): value is Finding {
  return (
    isJsonObject(value) && ["rule", "level", "path", "message", "fix"].every((key) => typeof value[key] === "string")
  );
}

/** Returns the finding that refuses a package above `STORED_BYTES`. */
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
    message: `The package has ${total} bytes of metadata, ${bytes} from ${path}; the limit is ${STORED_BYTES} bytes.`,
    fix: "Shorten this file: the record, run exports, about and findings count together.",
  };
}

function bytesOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
