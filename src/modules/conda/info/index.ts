// `info/index.json`: what the package says it is. https://conda.org/learn/ceps/cep-0034

import type { ArchiveFormat, PackageIdentity } from "../archive.ts";
import { buildFileName, parseFileName } from "../file-name.ts";
import type { Findings } from "../findings.ts";
import { isJsonObject, type JsonObject } from "../strict-json.ts";
import { isSubdir } from "../subdir.ts";
import { toMilliseconds } from "../timestamp.ts";
import { largestNumber, parseVersion } from "../version.ts";
import {
  BUILD,
  COUNT,
  NAME,
  NULLABLE,
  OPTIONAL_FIELDS,
  SPECS,
  SUBDIR,
  TIMESTAMP,
  VERSION,
  type FieldRule,
} from "./fields.ts";
import { readInfoJson, type InfoLimits } from "./json.ts";

/** Checked, so that every client reads a record made of it. Without a prototype; unknown keys are kept as data. */
export type IndexJson = Readonly<JsonObject> & {
  readonly name: string;
  readonly version: string;
  readonly build: string;
  readonly build_number: number;
  readonly depends: readonly string[];
  /** Given or derived; undefined when the package says nothing it could be derived from. */
  readonly subdir?: string | undefined;
  readonly noarch?: Noarch | undefined;
  /** As given: milliseconds, or seconds as old tools wrote them. */
  readonly timestamp?: number | undefined;
};

type Noarch = "python" | "generic";

/** Findings about keys of this file, with a memory of whether one of them refuses the package. */
type Notes = {
  refuse(key: string, problem: string, fix: string): void;
  warn(key: string, problem: string, fix: string): void;
  readonly refused: boolean;
};

const PATH = "info/index.json";
const MAX_KEYS = 1000;
const MAX_TEXT = 4096;
const MAX_INT_32 = 2 ** 31 - 1;
/** conda writes the architecture of a subdir shorter than `arch` does; others are the same in both. */
const ARCH_IN_SUBDIR: ReadonlyMap<string, string> = new Map([
  ["x86_64", "64"],
  ["x86", "32"],
]);

/** Undefined when the package is refused; the findings then say all that is wrong. */
export function readIndex(bytes: Uint8Array, findings: Findings, limits: InfoLimits): IndexJson | undefined {
  const jsonLimits = { maxDepth: limits.jsonDepth, maxKeys: MAX_KEYS, maxString: MAX_TEXT };
  const raw = readInfoJson({ path: PATH, need: "required", limits: jsonLimits }, bytes, findings);
  if (raw === undefined) return undefined;
  if (!isJsonObject(raw)) {
    findings.refuse("index-shape", PATH, `${PATH} is not an object.`, "Write it as one JSON object.");
    return undefined;
  }
  return readFields(raw, createNotes(findings), limits.now);
}

/** The names of the package and of its file; refused when the file name would not lead back to them. */
export function identify(index: IndexJson, format: ArchiveFormat, findings: Findings): PackageIdentity | undefined {
  const { name, version, build, subdir, build_number: buildNumber, timestamp = 0 } = index;
  const fileName = buildFileName(index, format);
  const parts = parseFileName(fileName);
  if (parts?.name !== name || parts.version !== version || parts.build !== build) {
    findings.refuse("index-file-name", PATH, `"${fileName}" is no file name.`, "Use names within CEP 26.");
    return undefined;
  }
  return { name, version, build, buildNumber, subdir, fileName, timestamp: toMilliseconds(timestamp) };
}

function readFields(raw: JsonObject, notes: Notes, now: number | undefined): IndexJson | undefined {
  const name = readField(raw, "name", NAME, notes);
  const version = readVersion(raw, notes);
  const build = readField(raw, "build", BUILD, notes);
  const build_number = readWithDefault(raw, "build_number", COUNT, 0, notes);
  const depends = readWithDefault(raw, "depends", SPECS, [], notes);
  const noarch = readNoarch(raw, notes);
  const subdir = readSubdir(raw, noarch, notes);
  const timestamp = readTimestamp(raw, notes, now);
  for (const [key, rule] of OPTIONAL_FIELDS) if (!isAbsent(raw[key])) readField(raw, key, rule, notes);
  if (notes.refused || name === undefined || version === undefined || build === undefined) return undefined;
  const index = Object.assign(raw, { name, version, build, build_number, depends, noarch, subdir, timestamp });
  dropAbsent(raw);
  return index;
}

function readField<T>(raw: JsonObject, key: string, rule: FieldRule<T>, notes: Notes): T | undefined {
  const value = raw[key];
  if (rule.holds(value)) return value;
  notes.refuse(key, `"${key}" is ${describe(value)}.`, `Make "${key}" ${rule.expected}.`);
  return undefined;
}

function readWithDefault<T>(raw: JsonObject, key: string, rule: FieldRule<T>, fallback: T, notes: Notes): T {
  if (!isAbsent(raw[key])) return readField(raw, key, rule, notes) ?? fallback;
  notes.warn(key, `"${key}" is missing; ${JSON.stringify(fallback)} is taken.`, `Make "${key}" ${rule.expected}.`);
  return fallback;
}

function readVersion(raw: JsonObject, notes: Notes): string | undefined {
  const text = readField(raw, "version", VERSION, notes);
  const version = text === undefined ? undefined : parseVersion(text);
  if (version !== undefined && largestNumber(version) > MAX_INT_32) {
    const fix = "Keep each number of the version below 2^31.";
    notes.warn("version", `"version" holds a number that not every client can compare.`, fix);
  }
  return text;
}

/** Old tools wrote true, which clients read as `generic`. */
function readNoarch(raw: JsonObject, notes: Notes): Noarch | undefined {
  const value = raw.noarch;
  if (isAbsent(value) || value === false || value === "") return undefined;
  if (value === "python" || value === "generic") return value;
  const fix = `Make "noarch" "python" or "generic", or leave it out.`;
  if (value === true) notes.warn("noarch", `"noarch" is true; "generic" is taken.`, fix);
  else notes.refuse("noarch", `"noarch" is ${describe(value)}.`, fix);
  return "generic";
}

function readSubdir(raw: JsonObject, noarch: Noarch | undefined, notes: Notes): string | undefined {
  if (!isAbsent(raw.subdir)) return readField(raw, "subdir", SUBDIR, notes);
  const subdir = deriveSubdir(raw, noarch);
  const taken = subdir === undefined ? "nothing else says it" : `"${subdir}" is taken`;
  notes.warn("subdir", `"subdir" is missing; ${taken}.`, `Make "subdir" ${SUBDIR.expected}.`);
  return subdir;
}

function deriveSubdir(raw: JsonObject, noarch: Noarch | undefined): string | undefined {
  const { platform, arch } = raw;
  if (noarch !== undefined || arch === "noarch") return "noarch";
  if (typeof platform !== "string" || typeof arch !== "string") return undefined;
  const subdir = `${platform}-${ARCH_IN_SUBDIR.get(arch) ?? arch}`;
  return isSubdir(subdir) ? subdir : undefined;
}

function readTimestamp(raw: JsonObject, notes: Notes, now = Infinity): number | undefined {
  if (isAbsent(raw.timestamp)) return undefined;
  const timestamp = readField(raw, "timestamp", TIMESTAMP, notes);
  if (timestamp !== undefined && toMilliseconds(timestamp) > now) {
    notes.warn("timestamp", `"timestamp" is in the future.`, "Check the clock of the machine that builds.");
  }
  return timestamp;
}

function dropAbsent(index: JsonObject): void {
  for (const key of [...OPTIONAL_FIELDS.keys(), "noarch", "subdir", "timestamp"]) {
    const kept = index[key] === null && NULLABLE.includes(key);
    if (isAbsent(index[key]) && !kept) delete index[key];
  }
}

function isAbsent(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

function describe(value: unknown): string {
  if (value === undefined) return "missing";
  if (Array.isArray(value)) return "a list that does not fit";
  return isJsonObject(value) ? "an object" : JSON.stringify(value);
}

function createNotes(findings: Findings): Notes {
  let refused = false;
  return {
    refuse: (key, problem, fix) => {
      refused = true;
      findings.refuse(ruleOf(key), `${PATH}:${key}`, problem, fix);
    },
    warn: (key, problem, fix) => findings.warn(ruleOf(key), `${PATH}:${key}`, problem, fix),
    get refused() {
      return refused;
    },
  };
}

function ruleOf(key: string): string {
  return `index-${key.replaceAll("_", "-")}`;
}
