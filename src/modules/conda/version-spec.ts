// The version spec of a MatchSpec, such as `>=1.8,<2|=3.1`. https://conda.org/learn/ceps/cep-0029

import { globOf } from "./glob.ts";
import { compareVersions, parseVersion, type Version } from "./version.ts";

export type VersionSpec =
  | { readonly kind: "any" }
  | { readonly kind: "compare"; readonly operator: Comparison; readonly version: Version }
  | { readonly kind: "starts-with"; readonly version: Version; readonly isNegated: boolean }
  | { readonly kind: "glob"; readonly matches: (text: string) => boolean }
  | { readonly kind: "all" | "some"; readonly specs: readonly VersionSpec[] };

/** Undefined for an invalid version spec. Regular expressions are invalid too: some take unbounded time to match. */
export function parseVersionSpec(text: string): VersionSpec | undefined {
  const tokens = tokensOf(text);
  if (tokens === undefined) return undefined;
  const cursor = { tokens, at: 0 };
  const spec = readSome(cursor, 0);
  return cursor.at === tokens.length ? spec : undefined;
}

/** `text` is the version as written; globs match against it. */
export function matchesVersion(spec: VersionSpec, version: Version, text: string): boolean {
  switch (spec.kind) {
    case "any":
      return true;
    case "compare":
      return COMPARISONS[spec.operator](compareVersions(version, spec.version));
    case "starts-with":
      return startsWith(version, spec.version) !== spec.isNegated;
    case "glob":
      return spec.matches(text);
    case "all":
      return spec.specs.every((part) => matchesVersion(part, version, text));
    case "some":
      return spec.specs.some((part) => matchesVersion(part, version, text));
  }
}

type Comparison = "==" | "!=" | "<" | "<=" | ">" | ">=";
type Clause = { readonly operator: string; readonly literal: string };
type Cursor = { readonly tokens: readonly (string | Clause)[]; at: number };

const COMPARISONS: Readonly<Record<Comparison, (order: number) => boolean>> = {
  "==": (order) => order === 0,
  "!=": (order) => order !== 0,
  "<": (order) => order < 0,
  "<=": (order) => order <= 0,
  ">": (order) => order > 0,
  ">=": (order) => order >= 0,
};
const TOKEN = /\s*(?:([|,()])|(?:([=!~<>]=|[=<>])\s*)?([\w.*+!-]+))\s*/y;
const MAX_DEPTH = 32;

function tokensOf(text: string): (string | Clause)[] | undefined {
  const tokens: (string | Clause)[] = [];
  for (TOKEN.lastIndex = 0; TOKEN.lastIndex < text.length;) {
    const match = TOKEN.exec(text);
    if (match === null) return undefined;
    const [, sign, operator = "", literal = ""] = match;
    tokens.push(sign ?? { operator, literal });
  }
  return tokens;
}

function readSome(cursor: Cursor, depth: number): VersionSpec | undefined {
  return readList(cursor, "|", "some", () => readAll(cursor, depth));
}

function readAll(cursor: Cursor, depth: number): VersionSpec | undefined {
  return readList(cursor, ",", "all", () => readOne(cursor, depth));
}

function readList(
  cursor: Cursor,
  separator: string,
  kind: "all" | "some",
  readItem: () => VersionSpec | undefined,
): VersionSpec | undefined {
  const specs: VersionSpec[] = [];
  do {
    const item = readItem();
    if (item === undefined) return undefined;
    specs.push(item);
  } while (take(cursor, separator));
  const [only] = specs;
  return only !== undefined && specs.length === 1 ? only : { kind, specs };
}

function readOne(cursor: Cursor, depth: number): VersionSpec | undefined {
  if (take(cursor, "(")) {
    const inner = depth < MAX_DEPTH ? readSome(cursor, depth + 1) : undefined;
    return take(cursor, ")") ? inner : undefined;
  }
  const token = cursor.tokens[cursor.at++];
  return token === undefined || typeof token === "string" ? undefined : specOf(token);
}

function take(cursor: Cursor, sign: string): boolean {
  if (cursor.tokens[cursor.at] !== sign) return false;
  cursor.at += 1;
  return true;
}

function specOf({ operator, literal }: Clause): VersionSpec | undefined {
  const stem = withoutTrailingStars(literal);
  if (stem === "") return operator === "!=" ? undefined : { kind: "any" };
  if (stem.includes("*"))
    return operator === "" || operator === "=" ? { kind: "glob", matches: globOf(literal) } : undefined;
  const version = parseVersion(stem.replaceAll("-", "_"));
  if (version === undefined) return undefined;
  const isOpen = stem !== literal;
  switch (operator) {
    case "":
    case "==":
      return isOpen ? startingWith(version) : { kind: "compare", operator: "==", version };
    case "=":
      return startingWith(version);
    case "!=":
      return isOpen ? startingWith(version, true) : { kind: "compare", operator, version };
    case "~=":
      return compatible(version);
    case ">":
      return { kind: "compare", operator: isOpen ? ">=" : ">", version };
    case "<":
    case "<=":
    case ">=":
      return { kind: "compare", operator, version };
    default:
      return undefined;
  }
}

/** Every client treats `1.8.*` and `1.8*` alike: neither matches `1.80`. */
function withoutTrailingStars(literal: string): string {
  let end = literal.length;
  while (literal[end - 1] === "*") {
    end -= 1;
    if (literal[end - 1] === ".") end -= 1;
  }
  return literal.slice(0, end);
}

function startingWith(version: Version, isNegated = false): VersionSpec {
  return { kind: "starts-with", version, isNegated };
}

/** `~=`: at least this version, and equal to it in all segments but the last. */
function compatible(version: Version): VersionSpec {
  const stem = { main: version.main.slice(0, -1), local: [] };
  return { kind: "all", specs: [{ kind: "compare", operator: ">=", version }, startingWith(stem)] };
}

/** Compares segment by segment; missing parts are 0. The local part counts only when the prefix has one. */
function startsWith(version: Version, prefix: Version): boolean {
  if (prefix.local.length === 0) return isSame(version.main.slice(0, prefix.main.length), prefix.main);
  return isSame(version.main, prefix.main) && isSame(version.local.slice(0, prefix.local.length), prefix.local);
}

function isSame(a: Version["main"], b: Version["main"]): boolean {
  return compareVersions({ main: a, local: [] }, { main: b, local: [] }) === 0;
}
