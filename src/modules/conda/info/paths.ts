// `info/paths.json`: the files that the package installs. https://conda.org/learn/ceps/cep-0034

import { printable, type Findings } from "../findings.ts";
import { isJsonObject, type JsonObject } from "../strict-json.ts";
import { readInfoJson, type InfoLimits } from "./json.ts";

export type PathEntry = {
  /** Relative to the root of the package, with slashes. */
  readonly path: string;
  readonly type: "hardlink" | "softlink" | "directory";
  /** Bytes. */
  readonly size: number | undefined;
};

export type PathsJson = {
  /** Flags of the package, derived from its paths. */
  readonly flags: readonly string[];
};

const PATH = "info/paths.json";
const MAX_KEYS = 100;
const MAX_TEXT = 4096;
/** JSON values in one entry, and in the rest of the file. */
const MAX_VALUES = 1000;
const SHA256 = /^[0-9a-f]{64}$/;
const FIX = "Write the file as CEP 34 defines it, for example with a current build tool.";

/**
 * Passes each entry to `take`, which returns whether the path was listed before. Undefined when the file is unusable:
 * then discard the passed entries too. A path that leads outside the package refuses the package.
 */
export function readPaths(
  bytes: Uint8Array,
  findings: Findings,
  limits: InfoLimits,
  take: (entry: PathEntry) => boolean,
): PathsJson | undefined {
  const entries = createEntries(take);
  const jsonLimits = { maxDepth: limits.jsonDepth, maxKeys: MAX_KEYS, maxString: MAX_TEXT, maxValues: MAX_VALUES };
  const items = { key: "paths", take: entries.read };
  const raw = readInfoJson({ path: PATH, need: "optional", limits: jsonLimits, items }, bytes, findings);
  if (raw === undefined) return undefined;
  if (!isJsonObject(raw) || !Array.isArray(raw.paths) || raw.paths_version !== 1) {
    findings.warn("paths-shape", PATH, `${PATH} is not an object of "paths_version" 1 with a list "paths".`, FIX);
    return undefined;
  }
  return entries.end(findings);
}

/** Whether the path stays below any folder it is joined to, on every system: not absolute, no `..`, no drive. */
export function isInnerPath(path: string): boolean {
  if (path === "" || /[\p{Cc}]|^[\\/]|^[A-Za-z]:/u.test(path)) return false;
  return !path.split(/[\\/]/).includes("..");
}

/** Stores only the first entry of each problem and a count: there can be hundreds of thousands. */
function createEntries(take: (entry: PathEntry) => boolean): {
  read(item: unknown, index: number): void;
  end(findings: Findings): PathsJson | undefined;
} {
  const modes = new Set<"binary" | "text">();
  let outside: string | undefined;
  let firstFaulty: string | undefined;
  let faultyEntries = 0;
  const note = (where: string): void => {
    firstFaulty ??= where;
    faultyEntries += 1;
  };
  return {
    read(item, index) {
      const path = isJsonObject(item) ? item._path : undefined;
      if (!isJsonObject(item) || typeof path !== "string") return note(`entry ${index}`);
      if (!isInnerPath(path)) {
        outside ??= path;
        return;
      }
      const { path_type: type, prefix_placeholder: placeholder, size_in_bytes: size } = item;
      const kind = type === "softlink" || type === "directory" ? type : "hardlink";
      const isRepeated = take({ path, type: kind, size: isSize(size) ? size : undefined });
      if (isRepeated || !isComplete(item)) note(path);
      if (typeof placeholder !== "string" || placeholder === "") return;
      modes.add(item.file_mode === "binary" ? "binary" : "text");
    },
    end(findings) {
      if (outside !== undefined) {
        const message = "The path leads outside the package.";
        findings.refuse("paths-outside", outside, message, "List only paths inside the package.");
        return undefined;
      }
      if (firstFaulty !== undefined) {
        const message = `${faultyEntries} entries are incomplete, malformed or listed twice.`;
        findings.warn("paths-entry", printable(firstFaulty), message, FIX);
      }
      return { flags: (["binary", "text"] as const).filter((mode) => modes.has(mode)).map((mode) => `${mode}-prefix`) };
    },
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
