// `info/run_exports.json`: the run exports of a package. https://conda.org/learn/ceps/cep-0012

import type { Findings } from "../findings.ts";
import { isJsonObject } from "../strict-json.ts";
import { RUN_EXPORT_KINDS, SPECS } from "./fields.ts";
import { readInfoJson, type InfoLimits } from "./json.ts";

/** By kind, in a fixed order; kinds without entries are omitted. */
export type RunExports = Record<string, string[]>;

const PATH = "info/run_exports.json";
const MAX_KEYS = 100;
const MAX_TEXT = 4096;
const FIX = `Write a list, or an object of lists under ${RUN_EXPORT_KINDS.join(", ")}; each must be ${SPECS.expected}.`;

/** `{}` when the package has no valid run exports. */
export function readRunExports(bytes: Uint8Array, findings: Findings, limits: InfoLimits): RunExports {
  const jsonLimits = { maxDepth: limits.jsonDepth, maxKeys: MAX_KEYS, maxString: MAX_TEXT };
  const raw = readInfoJson({ path: PATH, need: "optional", limits: jsonLimits }, bytes, findings);
  if (raw === undefined) return {};
  const table = Array.isArray(raw) ? { weak: raw } : raw;
  if (!isJsonObject(table)) {
    findings.warn("run-exports-shape", PATH, `${PATH} is neither a list nor an object.`, FIX);
    return {};
  }
  for (const key of Object.keys(table)) {
    if (RUN_EXPORT_KINDS.includes(key) || key === "schema_version") continue;
    findings.warn("run-exports-kind", `${PATH}:${key}`, "This kind of run export is unknown and ignored.", FIX);
  }
  return Object.fromEntries(
    RUN_EXPORT_KINDS.map((kind): [string, string[]] => [kind, readSpecs(kind, table[kind], findings)]).filter(
      ([, specs]) => specs.length > 0,
    ),
  );
}

/** Reads a single string as a list of one, as recipes do. */
function readSpecs(kind: string, value: unknown, findings: Findings): string[] {
  if (value === undefined || value === null) return [];
  const list = typeof value === "string" ? [value] : value;
  if (SPECS.holds(list)) return list;
  findings.warn("run-exports-specs", `${PATH}:${kind}`, "These run exports are invalid and ignored.", FIX);
  return [];
}
