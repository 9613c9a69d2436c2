// `info/about.json`: what people are shown of a package. Kept as it is, within a budget. https://conda.org/learn/ceps/cep-0034

import type { Findings } from "../findings.ts";
import { emptyObject, isJsonObject, type JsonObject } from "../strict-json.ts";
import { readInfoJson, type InfoLimits } from "./json.ts";

const PATH = "info/about.json";
const MAX_KEYS = 10_000;
/** Characters of JSON kept per package; what is shown first goes in first. */
const BUDGET = 256 * 1024;
const SHOWN_FIRST = [
  "summary",
  "license",
  "home",
  "dev_url",
  "doc_url",
  "source_url",
  "description",
  "license_family",
  "license_file",
  "tags",
  "identifiers",
  "keywords",
  "extra",
];

/** `{}` when there is nothing that can be used. Values are untrusted text: shown escaped, linked only after a check. */
export function readAbout(bytes: Uint8Array, findings: Findings, limits: InfoLimits): JsonObject {
  const jsonLimits = { maxDepth: limits.jsonDepth, maxKeys: MAX_KEYS };
  const raw = readInfoJson({ path: PATH, need: "optional", limits: jsonLimits }, bytes, findings);
  if (raw === undefined) return {};
  if (isJsonObject(raw)) return withinBudget(raw, findings);
  findings.warn("about-shape", PATH, `${PATH} is not an object.`, "Write it as one JSON object.");
  return {};
}

function withinBudget(raw: JsonObject, findings: Findings): JsonObject {
  const kept = emptyObject();
  const order = new Set([...SHOWN_FIRST.filter((key) => key in raw), ...Object.keys(raw).sort()]);
  let left = BUDGET;
  for (const key of order) {
    const cost = JSON.stringify([key, raw[key]]).length;
    if (cost > left) {
      findings.warn("about-size", `${PATH}:${key}`, "This is too long and left out.", "Shorten it.");
      continue;
    }
    left -= cost;
    kept[key] = raw[key];
  }
  return kept;
}
