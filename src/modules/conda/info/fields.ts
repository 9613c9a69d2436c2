// Allowed values of each known key of `info/index.json`, so that no record breaks a client.
// https://conda.org/learn/ceps/cep-0034

import { isBuild, isPackageName, isVersionText } from "../file-name.ts";
import { isJsonObject, type JsonObject } from "../strict-json.ts";
import { isSubdir } from "../subdir.ts";
import { parseVersion } from "../version.ts";
import { isInnerPath } from "./paths.ts";

export type FieldRule<T> = {
  /** Describes the allowed values, in words that follow "must be" or "Set it to". */
  readonly expected: string;
  readonly holds: (value: unknown) => value is T;
};

const MAX_LIST = 1000;
const MAX_SPEC = 4096;
/** The last millisecond of the year 9999, the latest date that Python supports. */
const LAST_MILLISECOND = 253_402_300_799_999;
const MD5 = /^[0-9a-f]{32}$/;
const PURL = /^pkg:[a-z][a-z0-9.+-]*\/[!-~]+$/;

export const NAME: FieldRule<string> = {
  expected: "a package name: a-z, 0-9 and single . _ - between them, at most 64 characters",
  holds: (value): value is string => typeof value === "string" && isPackageName(value),
};

export const VERSION: FieldRule<string> = {
  expected: "a version: a-z, 0-9, single . or _ between them, no hyphen, at most 64 characters",
  holds: (value): value is string =>
    typeof value === "string" && isVersionText(value) && parseVersion(value) !== undefined,
};

export const BUILD: FieldRule<string> = {
  expected: "a build string: letters, digits and . _ +, at most 64 characters",
  holds: (value): value is string => typeof value === "string" && isBuild(value),
};

export const SUBDIR: FieldRule<string> = {
  expected: '"noarch" or a platform such as "linux-64"',
  holds: (value): value is string => typeof value === "string" && isSubdir(value),
};

export const COUNT: FieldRule<number> = {
  expected: "a whole number of 0 or more",
  holds: (value): value is number => Number.isSafeInteger(value) && Number(value) >= 0,
};

export const TIMESTAMP: FieldRule<number> = {
  expected: "a whole number of milliseconds since 1970",
  holds: (value): value is number => COUNT.holds(value) && value <= LAST_MILLISECOND,
};

export const SPECS: FieldRule<string[]> = {
  expected: `a list of at most ${MAX_LIST} dependencies, each one line of at most ${MAX_SPEC} characters`,
  holds: isSpecList,
};

/** Kinds of run exports. https://conda.org/learn/ceps/cep-0012 */
export const RUN_EXPORT_KINDS: readonly string[] = ["noarch", "strong", "strong_constrains", "weak", "weak_constrains"];

/** A list without a kind is valid in `run_exports.json` only: rattler reads no subdir with such a record. */
export const RUN_EXPORTS: FieldRule<JsonObject> = {
  expected: `an object of lists of dependencies under ${RUN_EXPORT_KINDS.join(", ")}`,
  holds: (value): value is JsonObject =>
    isJsonObject(value) && RUN_EXPORT_KINDS.every((kind) => value[kind] === undefined || isSpecList(value[kind])),
};

const TEXT: FieldRule<string> = { expected: "a string", holds: (value): value is string => typeof value === "string" };

/** Optional keys that only need a rule; keys without a rule stay in the record unchanged. */
export const OPTIONAL_FIELDS: ReadonlyMap<string, FieldRule<unknown>> = new Map<string, FieldRule<unknown>>([
  ["arch", TEXT],
  ["platform", TEXT],
  ["license", TEXT],
  ["license_family", TEXT],
  ["features", TEXT],
  ["preferred_env", TEXT],
  ["constrains", SPECS],
  ["track_features", { expected: "a string or a list of strings", holds: isFeatures }],
  ["extra_depends", { expected: "an object whose values are lists of dependencies", holds: isSpecTable }],
  ["flags", { expected: "a list of strings", holds: isStringList }],
  ["purls", { expected: "a list of package URLs", holds: isPurlList }],
  ["legacy_bz2_size", COUNT],
  ["legacy_bz2_md5", { expected: "32 hexadecimal digits", holds: isMd5 }],
  [
    "python_site_packages_path",
    {
      expected: "a path that stays inside the environment",
      holds: (value): value is string => typeof value === "string" && isInnerPath(value),
    },
  ],
]);

/** Keys that every client accepts as null; a null under another key is removed from the record. */
export const NULLABLE: readonly string[] = ["arch", "platform", "license", "license_family"];

function isStringList(value: unknown): value is string[] {
  return Array.isArray(value) && value.length <= MAX_LIST && value.every((item) => typeof item === "string");
}

function isSpecList(value: unknown): value is string[] {
  return isStringList(value) && value.every(isSpec);
}

/** Does not check the grammar: refuses only text that no client can parse as a MatchSpec. */
function isSpec(text: string): boolean {
  return text.length <= MAX_SPEC && text.trim() !== "" && !/[\p{Cc}\u2028\u2029]/u.test(text);
}

function isSpecTable(value: unknown): value is Record<string, string[]> {
  return isJsonObject(value) && Object.values(value).every(isSpecList);
}

function isFeatures(value: unknown): value is string | string[] {
  return typeof value === "string" || isStringList(value);
}

function isPurlList(value: unknown): value is string[] {
  return isStringList(value) && value.every((item) => PURL.test(item));
}

function isMd5(value: unknown): value is string {
  return typeof value === "string" && MD5.test(value);
}
