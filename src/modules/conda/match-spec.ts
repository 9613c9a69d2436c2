// The MatchSpec, the form of dependencies and constraints. https://conda.org/learn/ceps/cep-0029

import { globOf } from "./glob.ts";
import type { Version } from "./version.ts";
import { matchesVersion, parseVersionSpec, type VersionSpec } from "./version-spec.ts";

/** The fields of a spec that select a file; other bracket keywords (`channel`, `md5`, …) are ignored. */
export type MatchSpec = {
  readonly name: string;
  readonly version: VersionSpec | undefined;
  readonly build: string | undefined;
  readonly buildNumber: VersionSpec | undefined;
};

/** A spec split into its fields, as text. */
export type MatchSpecParts = {
  readonly name: string;
  /** The text before the last colon in front of the name. */
  readonly channel: string | undefined;
  readonly version: string | undefined;
  readonly build: string | undefined;
  /** The bracket keywords in written order; list values keep their brackets. */
  readonly keywords: ReadonlyMap<string, string>;
};

/** Undefined for text that not every client can parse. */
export function parseMatchSpec(text: string): MatchSpec | undefined {
  const parts = splitMatchSpec(text);
  if (parts === undefined) return undefined;
  const { name, keywords } = parts;
  const version = optional(keywords.get("version") ?? parts.version, parseVersionSpec);
  const build = optional(keywords.get("build") ?? parts.build, (pattern) => (isRegex(pattern) ? undefined : pattern));
  const buildNumber = optional(keywords.get("build_number"), parseVersionSpec);
  if (version === INVALID || build === INVALID || buildNumber === INVALID) return undefined;
  return { name, version, build, buildNumber };
}

/** Returns a test of the build string and build number against the spec; it does not check name or version. */
export function buildMatcher(spec: MatchSpec): (build: string, buildNumber: number) => boolean {
  const isBuild = spec.build === undefined ? undefined : globOf(spec.build);
  return (build, buildNumber) => {
    if (isBuild !== undefined && !isBuild(build)) return false;
    return (
      spec.buildNumber === undefined || matchesVersion(spec.buildNumber, versionOf(buildNumber), String(buildNumber))
    );
  };
}

/** Cost of matching the version and the build, as a maximum number of version comparisons. */
export function costOf({ build, buildNumber, version }: MatchSpec): {
  readonly version: number;
  readonly build: number;
} {
  return { version: clausesOf(version), build: (build === undefined ? 0 : 1) + clausesOf(buildNumber) };
}

function clausesOf(spec: VersionSpec | undefined): number {
  if (spec === undefined) return 0;
  return "specs" in spec ? spec.specs.reduce((sum, part) => sum + clausesOf(part), 0) : 1;
}

/** Splits a spec into its fields without parsing them; drops a trailing comment. */
export function splitMatchSpec(text: string): MatchSpecParts | undefined {
  const [spec = ""] = text.split(" #", 1);
  const opening = spec.indexOf("[");
  const positional = (opening === -1 ? spec : spec.slice(0, opening)).trim();
  const keywords = opening === -1 ? NO_KEYWORDS : readKeywords(spec.slice(opening).trimEnd());
  const colon = positional.lastIndexOf(":");
  const [name = ""] = NAME.exec(positional.slice(colon + 1)) ?? [];
  if (keywords === undefined || name === "") return undefined;
  const rest = positional.slice(colon + 1 + name.length).trim();
  const fields = rest === "" ? {} : splitVersionAndBuild(rest);
  if (fields === undefined) return undefined;
  const channel = colon === -1 ? undefined : positional.slice(0, colon);
  return { name: name.trim().toLowerCase(), channel, version: undefined, build: undefined, ...fields, keywords };
}

const INVALID = Symbol("invalid");
const NO_KEYWORDS: ReadonlyMap<string, string> = new Map();
const NAME = /^\s*[\w.*+-]+(?=[\s=<>!~(]|$)/;
const OPERATORS = "=<>!~,|(";
/** `1.8=py_0` and `=1.8=py_0`: both match exactly that version. */
const BUILD_AFTER_EQUALS = /^(.*[^=<>!~,|(])=([^=<>!~,|()]+)$/;
const KEYWORD =
  /[\s,]*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|(\[[^\]]*\])|([^\s,'"[\]]+))\s*(?=[,\s\]])/y;

type Fields = { readonly version: string; readonly build?: string };

function splitVersionAndBuild(text: string): Fields | undefined {
  const words = wordsOf(text);
  const [first = "", build] = words;
  if (words.length > 2) return undefined;
  if (build !== undefined) return { version: first, build };
  const match = BUILD_AFTER_EQUALS.exec(first);
  if (match === null) return { version: first };
  const [, before = "", after = ""] = match;
  return { version: /^=[^=,|]*$/.test(before) ? before.slice(1) : before, build: after };
}

/** Splits at spaces; spaces next to an operator are insignificant. */
function wordsOf(text: string): string[] {
  const words: string[][] = [];
  let before = "";
  for (const part of text.split(/\s+/)) {
    const isJoined =
      words.length > 0 &&
      (OPERATORS.includes(before.slice(-1)) || OPERATORS.includes(part.charAt(0)) || part.startsWith(")"));
    if (isJoined) words.at(-1)?.push(part);
    else words.push([part]);
    before = part;
  }
  return words.map((parts) => parts.join(""));
}

function readKeywords(text: string): ReadonlyMap<string, string> | undefined {
  const keywords = new Map<string, string>();
  KEYWORD.lastIndex = 1;
  for (let match = KEYWORD.exec(text); match !== null; match = KEYWORD.exec(text)) {
    const [matched, key = "", single, double, list, plain = ""] = match;
    const quoted = single ?? double;
    keywords.set(key, quoted === undefined ? (list ?? plain) : quoted.replaceAll(/\\(.)/g, "$1"));
    const end = match.index + matched.length;
    if (end === text.length - 1) return text.endsWith("]") ? keywords : undefined;
    KEYWORD.lastIndex = end;
  }
  return undefined;
}

function optional<T>(text: string | undefined, read: (text: string) => T | undefined): T | undefined | typeof INVALID {
  return text === undefined ? undefined : (read(text) ?? INVALID);
}

/** Regular expressions are refused: an untrusted one can take unbounded time. */
function isRegex(pattern: string): boolean {
  return pattern.startsWith("^") && pattern.endsWith("$");
}

function versionOf(buildNumber: number): Version {
  return { main: [[0], [buildNumber]], local: [] };
}
