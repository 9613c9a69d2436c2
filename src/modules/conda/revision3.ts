// Revision 3 of repodata: recognizes records that older clients would misread, and converts them to the new form.
// https://conda.org/learn/ceps/cep-0048

import { splitMatchSpec, type MatchSpecParts } from "./match-spec.ts";
import { canonicalJson, readRecord } from "./record.ts";
import { isJsonObject } from "./strict-json.ts";

/**
 * Whether the record declares revision 3 or uses a feature of it: optional groups, flags, or specs with conditions.
 * Such a record must not be in a map that older clients read. https://conda.org/learn/ceps/cep-0043
 */
export function isRevision3(record: string): boolean {
  if (!HINT.test(record)) return false;
  const fields: unknown = JSON.parse(record);
  if (!isJsonObject(fields)) return false;
  return (
    Number(fields.schema_version) >= REVISION ||
    Number(fields.repodata_revision) >= REVISION ||
    isFilled(fields.extra_depends) ||
    isFilled(fields.flags) ||
    [...textsOf(fields.depends), ...textsOf(fields.constrains)].some(hasNewKeyword)
  );
}

/** Returns the record with its specs in bracket form, the only form of revision 3. */
export function revision3Record(record: string): string {
  const fields = readRecord(record);
  for (const key of ["depends", "constrains"]) {
    if (key in fields) fields[key] = textsOf(fields[key]).map(inBrackets);
  }
  if (isJsonObject(fields.extra_depends)) {
    const groups = Object.entries(fields.extra_depends);
    fields.extra_depends = Object.fromEntries(groups.map(([group, specs]) => [group, textsOf(specs).map(inBrackets)]));
  }
  return canonicalJson(fields);
}

const REVISION = 3;
/** Matches the text of every record that could be of revision 3, and of few others. */
const HINT = /schema_version|repodata_revision|extra_depends|flags|extras|when/;
const NEW_KEYWORD = /[[,\s](?:when|extras|flags)\s*=/;
const PLAIN_VERSION = /^[^=<>!~,|*()\s]+$/;
const SELECTORS: readonly string[] = ["version", "build", "build_number", "flags", "extras", "when"];

function hasNewKeyword(spec: string): boolean {
  const opening = spec.indexOf("[");
  return opening !== -1 && NEW_KEYWORD.test(spec.slice(opening));
}

/** Returns a spec unchanged when it has no bracket form. */
function inBrackets(spec: string): string {
  const parts = splitMatchSpec(spec);
  if (parts === undefined || parts.channel !== undefined || parts.name.includes("*")) return spec;
  const fields = fieldsOf(parts);
  if (fields.some(([key, value]) => !SELECTORS.includes(key) || !isQuotable(value))) return spec;
  const members = fields.map(([key, value]) => `${key}=${quoted(value)}`);
  return members.length === 0 ? parts.name : `${parts.name}[${members.join(",")}]`;
}

/** Omits fields that match every package; keywords override the positional fields. */
function fieldsOf({ version, build, keywords }: MatchSpecParts): [string, string][] {
  const fields = new Map([["version", version], ["build", build], ...keywords]);
  fields.delete("name");
  return [...fields].flatMap(([key, value]): [string, string][] => {
    if (value === undefined || value === "*") return [];
    return [[key, key === "version" && PLAIN_VERSION.test(value) ? `==${value}` : value]];
  });
}

function isQuotable(value: string): boolean {
  return !value.includes("\\") && !(value.includes('"') && value.includes("'"));
}

function quoted(value: string): string {
  if (value.startsWith("[") || /^[0-9]+$/.test(value)) return value;
  return value.includes('"') ? `'${value}'` : `"${value}"`;
}

function isFilled(value: unknown): boolean {
  return (Array.isArray(value) && value.length > 0) || (isJsonObject(value) && Object.keys(value).length > 0);
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
