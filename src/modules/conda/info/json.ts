// The JSON files of a package's `info/` folder: strict reading, with findings instead of errors.

import type { Findings } from "../findings.ts";
import {
  parseStrictJson,
  StrictJsonError,
  type StrictJsonItems,
  type StrictJsonLimits,
  type StrictJsonReason,
} from "../strict-json.ts";

export type InfoLimits = {
  readonly jsonDepth: number;
  /** Milliseconds UTC; when given, a `timestamp` after it is a finding. */
  readonly now?: number | undefined;
};

/** A `required` file that cannot be read refuses the package; an `optional` one only when it is hostile. */
export type InfoFile = {
  readonly path: string;
  readonly need: "required" | "optional";
  readonly limits: StrictJsonLimits;
  /** A list that is not kept; what was handed on of a file that is not to be used does not count. */
  readonly items?: StrictJsonItems;
};

/** Undefined, with a finding, when the file is not to be used. */
export function readInfoJson(file: InfoFile, bytes: Uint8Array, findings: Findings): unknown {
  try {
    return parseStrictJson(bytes, file.limits, file.items);
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    const hostile = error.reason !== "syntax" && error.reason !== "limit";
    const level = file.need === "required" || hostile ? "refuse" : "warn";
    findings[level](`json-${error.reason}`, file.path, `${file.path} ${error.message}.`, FIXES[error.reason]);
    return undefined;
  }
}

const FIXES: Record<StrictJsonReason, string> = {
  encoding: "Write the file as UTF-8 without a byte order mark, U+0000 or halves of surrogate pairs.",
  syntax: "Write the file as JSON.",
  "duplicate-key": "Write each key once.",
  number: "Write numbers between -(2^53 - 1) and 2^53 - 1, and text where more digits matter.",
  depth: "Nest less deeply.",
  limit: "Shorten the file.",
};
