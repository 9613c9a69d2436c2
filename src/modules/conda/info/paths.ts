// `info/paths.json`: what the package says it installs. https://conda.org/learn/ceps/cep-0034

import { printable, type Findings } from "../findings.ts";
import { isJsonObject, type JsonObject } from "../strict-json.ts";
import { readInfoJson, type InfoLimits } from "./json.ts";

export type PathEntry = {
  /** Below the root of the package, with slashes. */
  readonly path: string;
  readonly type: "hardlink" | "softlink" | "directory";
  /** Set when the client writes the place of the environment into the file. */
  readonly prefix: { readonly mode: "binary" | "text"; readonly placeholder: string } | undefined;
  readonly noLink: boolean;
  /** Hexadecimal; of the target when the entry is a link. */
  readonly sha256: string | undefined;
  /** Bytes. */
  readonly size: number | undefined;
};

export type PathsJson = { readonly entries: readonly PathEntry[] };

const PATH = "info/paths.json";
const MAX_KEYS = 100;
const MAX_TEXT = 4096;
const SHA256 = /^[0-9a-f]{64}$/;
const FIX = "Write it as CEP 34 says, e.g. with a current build tool.";

/** Undefined when the file is not to be used; a path that leads out of the package refuses the package. */
export function readPaths(bytes: Uint8Array, findings: Findings, limits: InfoLimits): PathsJson | undefined {
  const jsonLimits = { maxDepth: limits.jsonDepth, maxKeys: MAX_KEYS, maxString: MAX_TEXT };
  const raw = readInfoJson({ path: PATH, need: "optional", limits: jsonLimits }, bytes, findings);
  if (raw === undefined) return undefined;
  if (!isJsonObject(raw) || !Array.isArray(raw.paths) || raw.paths_version !== 1) {
    findings.warn("paths-shape", PATH, `${PATH} is no table of version 1 with a list of paths.`, FIX);
    return undefined;
  }
  return readEntries(raw.paths, findings);
}

/** Not absolute, no way up, no drive: joined to any folder it stays below it, on every system. */
export function isInnerPath(path: string): boolean {
  if (path === "" || /[\p{Cc}]|^[\\/]|^[A-Za-z]:/u.test(path)) return false;
  return !path.split(/[\\/]/).includes("..");
}

/** Flags of the package that follow from its paths. */
export function prefixFlags(paths: PathsJson): string[] {
  return (["binary", "text"] as const)
    .filter((mode) => paths.entries.some((entry) => entry.prefix?.mode === mode))
    .map((mode) => `${mode}-prefix`);
}

function readEntries(list: readonly unknown[], findings: Findings): PathsJson | undefined {
  const entries = new Map<string, PathEntry>();
  const sloppy: string[] = [];
  for (const [index, item] of list.entries()) {
    const path = isJsonObject(item) ? item._path : undefined;
    if (!isJsonObject(item) || typeof path !== "string") {
      sloppy.push(`entry ${index}`);
      continue;
    }
    if (!isInnerPath(path)) {
      findings.refuse("paths-outside", path, "A path leads out of the package.", "List only files of the package.");
      return undefined;
    }
    if (entries.has(path) || !isComplete(item)) sloppy.push(path);
    entries.set(path, toEntry(path, item));
  }
  if (sloppy.length > 0) {
    const message = `${sloppy.length} entries are incomplete, malformed or listed twice.`;
    findings.warn("paths-entry", printable(sloppy[0] ?? ""), message, FIX);
  }
  return { entries: [...entries.values()] };
}

function toEntry(path: string, item: JsonObject): PathEntry {
  const { path_type: type, prefix_placeholder: placeholder, sha256, size_in_bytes: size } = item;
  const mode = item.file_mode === "binary" ? "binary" : "text";
  return {
    path,
    type: type === "softlink" || type === "directory" ? type : "hardlink",
    prefix: typeof placeholder === "string" && placeholder !== "" ? { mode, placeholder } : undefined,
    noLink: item.no_link === true,
    sha256: isSha256(sha256) ? sha256 : undefined,
    size: isSize(size) ? size : undefined,
  };
}

function isComplete(item: JsonObject): boolean {
  const type = item.path_type ?? "hardlink";
  const mode = item.file_mode ?? "text";
  if (mode !== "binary" && mode !== "text") return false;
  if (type === "directory") return true;
  return (type === "hardlink" || type === "softlink") && isSha256(item["sha256"]) && isSize(item.size_in_bytes);
}

function isSha256(value: unknown): value is string {
  return typeof value === "string" && SHA256.test(value);
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
