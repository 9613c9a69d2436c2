// The MatchSpec, in which a package says what it depends on. https://conda.org/learn/ceps/cep-0029

import { globOf } from "./glob.ts";
import type { Version } from "./version.ts";
import { matchesVersion, parseVersionSpec, type VersionSpec } from "./version-spec.ts";

/** What of a spec selects a package by its name; the rest of the brackets (`channel`, `md5`, …) is not looked at. */
export type MatchSpec = {
  readonly name: string;
  readonly version: VersionSpec | undefined;
  readonly build: string | undefined;
  readonly buildNumber: VersionSpec | undefined;
};

/** A spec as text in its fields. */
export type MatchSpecParts = {
  readonly name: string;
  /** What stands before the name with a colon. */
  readonly channel: string | undefined;
  readonly version: string | undefined;
  readonly build: string | undefined;
  /** What stands in brackets, in the order written; lists keep theirs. */
  readonly keywords: ReadonlyMap<string, string>;
};

/** Undefined for text that no reader, or not every reader, makes sense of. */
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

/** Whether a build of the spec's name is one that is meant, as far as its version does not say. */
export function buildMatcher(spec: MatchSpec): (build: string, buildNumber: number) => boolean {
  const isBuild = spec.build === undefined ? undefined : globOf(spec.build);
  return (build, buildNumber) => {
    if (isBuild !== undefined && !isBuild(build)) return false;
    return (
      spec.buildNumber === undefined || matchesVersion(spec.buildNumber, numbered(buildNumber), String(buildNumber))
    );
  };
}

/** How many comparisons of a version it takes at most, or the time of them, to match the version and the build. */
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

/** Takes a spec apart without a look at what its fields say; a comment behind it is left out. */
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
/** `1.8=py_0` and `=1.8=py_0`, of which both mean that version and no other. */
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

/** Apart at spaces, but for those beside an operator, which mean nothing. */
function wordsOf(text: string): string[] {
  const words: string[][] = [];
  let before = "";
  for (const piece of text.split(/\s+/)) {
    const isJoined =
      words.length > 0 &&
      (OPERATORS.includes(before.slice(-1)) || OPERATORS.includes(piece.charAt(0)) || piece.startsWith(")"));
    if (isJoined) words.at(-1)?.push(piece);
    else words.push([piece]);
    before = piece;
  }
  return words.map((pieces) => pieces.join(""));
}

function readKeywords(text: string): ReadonlyMap<string, string> | undefined {
  const keywords = new Map<string, string>();
  KEYWORD.lastIndex = 1;
  for (let match = KEYWORD.exec(text); match !== null; match = KEYWORD.exec(text)) {
    const [whole, key = "", single, double, list, plain = ""] = match;
    const quoted = single ?? double;
    keywords.set(key, quoted === undefined ? (list ?? plain) : quoted.replaceAll(/\\(.)/g, "$1"));
    const end = match.index + whole.length;
    if (end === text.length - 1) return text.endsWith("]") ? keywords : undefined;
    KEYWORD.lastIndex = end;
  }
  return undefined;
}

function optional<T>(text: string | undefined, read: (text: string) => T | undefined): T | undefined | typeof INVALID {
  return text === undefined ? undefined : (read(text) ?? INVALID);
}

/** Not taken: an expression from a stranger can take for ever. */
function isRegex(pattern: string): boolean {
  return pattern.startsWith("^") && pattern.endsWith("$");
}

function numbered(buildNumber: number): Version {
  return { main: [[0], [buildNumber]], local: [] };
}
