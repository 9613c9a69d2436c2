// `info/link.json`: commands that clients create for `noarch: python` packages. https://conda.org/learn/ceps/cep-0034

import type { Findings } from "../findings.ts";
import { isJsonObject } from "../strict-json.ts";
import { readInfoJson, type InfoLimits } from "./json.ts";

export type LinkJson = { readonly entryPoints: string[] };

const PATH = "info/link.json";
const MAX_KEYS = 1000;
const MAX_TEXT = 1024;
const MAX_VALUES = 100_000;
const FIX = 'Write each entry point as "command = package.module:function".';

// Clients use the command as a file name and write the rest into a Python script: allow only text harmless in both.
const HARMLESS = /^[\p{L}\p{M}\p{N}_.+\-=:,[\] ]*$/u;
const ENTRY_POINT =
  /^ *[\p{L}\p{N}_][\p{L}\p{M}\p{N}_.+-]* *= *[\p{L}\p{N}_.-]+ *: *[\p{L}\p{N}_.-]+ *(?:\[[\p{L}\p{N}_.,\- ]*\] *)?$/u;

/** Undefined when the file is unusable. Refuses entry points that could write another file or run other code. */
export function readLink(bytes: Uint8Array, findings: Findings, limits: InfoLimits): LinkJson | undefined {
  const jsonLimits = { maxDepth: limits.jsonDepth, maxKeys: MAX_KEYS, maxString: MAX_TEXT, maxValues: MAX_VALUES };
  const raw = readInfoJson({ path: PATH, need: "optional", limits: jsonLimits }, bytes, findings);
  if (raw === undefined) return undefined;
  const noarch = isJsonObject(raw) ? (raw.noarch ?? {}) : undefined;
  const list = isJsonObject(noarch) ? (noarch.entry_points ?? []) : undefined;
  if (!Array.isArray(list)) {
    findings.warn("link-shape", PATH, `In ${PATH}, "noarch" must be an object whose "entry_points" is a list.`, FIX);
    return undefined;
  }
  const entryPoints = list.filter((item): item is string => isEntryPoint(item, findings));
  return { entryPoints };
}

function isEntryPoint(item: unknown, findings: Findings): boolean {
  if (typeof item !== "string" || !HARMLESS.test(item)) {
    const shown = typeof item === "string" ? item : typeof item;
    const message = `The entry point "${shown}" could write another file or run other code.`;
    findings.refuse("link-entry-point", PATH, message, FIX);
    return false;
  }
  if (ENTRY_POINT.test(item)) return true;
  findings.warn("link-entry-point", PATH, `The entry point "${item}" is malformed and ignored.`, FIX);
  return false;
}
