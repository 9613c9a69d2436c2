// `info/index.json`: the identity and the dependencies of the package. https://conda.org/learn/ceps/cep-0034

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
  RUN_EXPORTS,
  SPECS,
  SUBDIR,
  TIMESTAMP,
  VERSION,
  type FieldRule,
} from "./fields.ts";
import { readInfoJson, type InfoLimits } from "./json.ts";

/** Validated, so that every client can read its record. Has no prototype; unknown keys stay as data. */
export type IndexJson = Readonly<JsonObject> & {
  readonly name: string;
  readonly version: string;
  readonly build: string;
  readonly build_number: number;
  readonly depends: readonly string[];
  /** Declared or derived; undefined when the package has no keys to derive it from. */
  readonly subdir?: string | undefined;
  readonly noarch?: Noarch | undefined;
  /** Unchanged: milliseconds, or seconds from old build tools. */
  readonly timestamp?: number | undefined;
};

type Noarch = "python" | "generic";

/** Adds findings about keys of this file; `refused` is true once one of them refuses the package. */
type Notes = {
  refuse(key: string, problem: string, fix: string): void;
  warn(key: string, problem: string, fix: string): void;
  readonly refused: boolean;
};

const PATH = "info/index.json";
const MAX_KEYS = 1000;
const MAX_TEXT = 4096;
const MAX_INT_32 = 2 ** 31 - 1;
/** Architectures that a subdir writes differently from `arch`; all others are equal in both. */
const ARCH_IN_SUBDIR: ReadonlyMap<string, string> = new Map([
  ["x86_64", "64"],
  ["x86", "32"],
]);

/** Undefined when the package is refused; the findings then list every problem. */
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

/** Returns the names of the package and its file. Refuses a file name that does not parse back to the same names. */
export function identify(index: IndexJson, format: ArchiveFormat, findings: Findings): PackageIdentity | undefined {
  const { name, version, build, subdir, build_number: buildNumber, timestamp = 0 } = index;
  const fileName = buildFileName(index, format);
  const parts = parseFileName(fileName);
  if (parts?.name !== name || parts.version !== version || parts.build !== build) {
    const fix = "Choose a name, version and build string that follow CEP 26.";
    findings.refuse("index-file-name", PATH, `"${fileName}" is not a valid package file name.`, fix);
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
  checkRunExports(raw, notes);
  for (const [key, rule] of OPTIONAL_FIELDS) if (!isAbsent(raw[key])) readField(raw, key, rule, notes);
  if (notes.refused || name === undefined || version === undefined || build === undefined) return undefined;
  const index = Object.assign(raw, { name, version, build, build_number, depends, noarch, subdir, timestamp });
  dropAbsent(raw);
  return index;
}

function readField<T>(raw: JsonObject, key: string, rule: FieldRule<T>, notes: Notes): T | undefined {
  const value = raw[key];
  if (rule.holds(value)) return value;
  notes.refuse(key, `"${key}" is ${describe(value)}.`, `Set "${key}" to ${rule.expected}.`);
  return undefined;
}

function readWithDefault<T>(raw: JsonObject, key: string, rule: FieldRule<T>, fallback: T, notes: Notes): T {
  if (!isAbsent(raw[key])) return readField(raw, key, rule, notes) ?? fallback;
  const problem = `"${key}" is missing; the server uses ${JSON.stringify(fallback)}.`;
  notes.warn(key, problem, `Set "${key}" to ${rule.expected}.`);
  return fallback;
}

function readVersion(raw: JsonObject, notes: Notes): string | undefined {
  const text = readField(raw, "version", VERSION, notes);
  const version = text === undefined ? undefined : parseVersion(text);
  if (version !== undefined && largestNumber(version) > MAX_INT_32) {
    const fix = "Keep each number in the version below 2^31.";
    notes.warn("version", `"version" contains a number that some clients cannot compare.`, fix);
  }
  return text;
}

/** Old build tools wrote `true`, which clients read as `generic`. */
function readNoarch(raw: JsonObject, notes: Notes): Noarch | undefined {
  const value = raw.noarch;
  if (isAbsent(value) || value === false || value === "") return undefined;
  if (value === "python" || value === "generic") return value;
  const fix = `Set "noarch" to "python" or "generic", or remove it.`;
  if (value === true) notes.warn("noarch", `"noarch" is true; the server uses "generic".`, fix);
  else notes.refuse("noarch", `"noarch" is ${describe(value)}.`, fix);
  return "generic";
}

function readSubdir(raw: JsonObject, noarch: Noarch | undefined, notes: Notes): string | undefined {
  if (!isAbsent(raw.subdir)) return readField(raw, "subdir", SUBDIR, notes);
  const subdir = deriveSubdir(raw, noarch);
  const used = subdir === undefined ? "no other key implies it" : `the server uses "${subdir}"`;
  notes.warn("subdir", `"subdir" is missing; ${used}.`, `Set "subdir" to ${SUBDIR.expected}.`);
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
    notes.warn("timestamp", `"timestamp" is in the future.`, "Check the clock of the build machine.");
  }
  return timestamp;
}

/** `info/run_exports.json` is what build tools read, so an invalid value here is only ignored. */
function checkRunExports(raw: JsonObject, notes: Notes): void {
  const { run_exports: value } = raw;
  if (RUN_EXPORTS.holds(value)) return;
  delete raw.run_exports;
  if (isAbsent(value)) return;
  const fix = `Set "run_exports" to ${RUN_EXPORTS.expected}, or remove it.`;
  notes.warn("run_exports", `"run_exports" is ${describe(value)}; the server ignores it.`, fix);
}

function dropAbsent(index: JsonObject): void {
  for (const key of [...OPTIONAL_FIELDS.keys(), "noarch", "subdir", "timestamp"]) {
    const isAllowedNull = index[key] === null && NULLABLE.includes(key);
    if (isAbsent(index[key]) && !isAllowedNull) delete index[key];
  }
}

function isAbsent(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

function describe(value: unknown): string {
  if (value === undefined) return "missing";
  if (Array.isArray(value)) return "an invalid list";
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
