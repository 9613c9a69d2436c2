// `info/about.json`: descriptive data for people, stored unchanged. https://conda.org/learn/ceps/cep-0034

import type { Findings } from "../findings.ts";
import { isJsonObject, type JsonObject } from "../strict-json.ts";
import { readInfoJson, type InfoLimits } from "./json.ts";

const PATH = "info/about.json";
const MAX_KEYS = 10_000;

/** `{}` when the file is unusable. Values are untrusted text: escape them, and check URLs before linking. */
export function readAbout(bytes: Uint8Array, findings: Findings, limits: InfoLimits): JsonObject {
  const jsonLimits = { maxDepth: limits.jsonDepth, maxKeys: MAX_KEYS };
  const raw = readInfoJson({ path: PATH, need: "optional", limits: jsonLimits }, bytes, findings);
  if (raw === undefined) return {};
  if (isJsonObject(raw)) return raw;
  findings.warn("about-shape", PATH, `${PATH} is not an object.`, "Write it as one JSON object.");
  return {};
}
