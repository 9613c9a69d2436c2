// `info/about.json`: descriptive data for people, stored unchanged. https://conda.org/learn/ceps/cep-0034

import type { Findings } from "../findings.ts";
import { isJsonObject, type JsonObject } from "../strict-json.ts";
import { readInfoJson, type InfoLimits } from "./json.ts";
import { readableMembers } from "./readable-members.ts";

const PATH = "info/about.json";
const MAX_KEYS = 10_000;

/** `{}` when no member is usable. Values are untrusted text: escape them, and check URLs before linking. */
export function readAbout(bytes: Uint8Array, findings: Findings, limits: InfoLimits): JsonObject {
  const jsonLimits = { maxDepth: limits.jsonDepth, maxKeys: MAX_KEYS };
  const raw = readInfoJson({ path: PATH, need: "descriptive", limits: jsonLimits }, bytes, findings);
  if (raw === undefined) return readableMembers(bytes, jsonLimits);
  if (isJsonObject(raw)) return raw;
  findings.warn("about-shape", PATH, `${PATH} is not an object.`, "Write it as one JSON object.");
  return {};
}
