// Strict parsing of the JSON files in `info/`, with findings instead of errors.

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
  /** ms UTC; when present, a later `timestamp` is a finding. */
  readonly now?: number | undefined;
};

/**
 * An invalid `required` file refuses the package; an `optional` one only when two readers could read it differently;
 * a `descriptive` one never, because no client acts on its content.
 */
export type InfoFile = {
  readonly path: string;
  readonly need: "required" | "optional" | "descriptive";
  readonly limits: StrictJsonLimits;
  /** A list that is passed on item by item, not returned; discard its items when the file is unusable. */
  readonly items?: StrictJsonItems;
};

/** Undefined, with a finding, when the file is unusable. */
export function readInfoJson(file: InfoFile, bytes: Uint8Array, findings: Findings): unknown {
  try {
    return parseStrictJson(bytes, file.limits, file.items);
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    const hostile = error.reason !== "syntax" && error.reason !== "limit";
    const level = file.need === "required" || (file.need === "optional" && hostile) ? "refuse" : "warn";
    findings[level](`json-${error.reason}`, file.path, `${file.path} ${error.message}.`, FIXES[error.reason]);
    return undefined;
  }
}

const FIXES: Record<StrictJsonReason, string> = {
  encoding: "Write the file as UTF-8 without a byte order mark, U+0000 or lone surrogates.",
  syntax: "Write the file as valid JSON.",
  "duplicate-key": "Write each key once per object.",
  number: "Use numbers from -(2^53 - 1) to 2^53 - 1, and strings where more digits matter.",
  depth: "Nest arrays and objects less deeply.",
  limit: "Shorten the file.",
};
