// What a member of an archive may be called, so that it lands inside the folder it is unpacked to on every system.

const MAX_PATH = 4096;
const MAX_PART = 255;

// Characters that end a name early, hide or reorder it, or break the line it is shown in.
const HIDDEN = /[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
const UPWARD = /(?:^|\/)\.\.(?:\/|$)/;
const EMPTY_PART = /(?:^|\/)\.?(?:\/|$)/;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Undefined for bytes that are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** What is wrong with a path, in words that follow it; undefined when nothing is. */
export function pathProblem(path: string): string | undefined {
  if (path === "") return "is empty";
  if (HIDDEN.test(path)) return "has control or direction characters";
  if (path.includes("\\")) return "has a backslash";
  if (path.startsWith("/") || /^[A-Za-z]:/.test(path)) return "is absolute";
  if (isLong(path, MAX_PATH)) return `is longer than ${MAX_PATH} bytes`;
  if (UPWARD.test(path)) return "leads out with `..`";
  if (EMPTY_PART.test(path)) return "has an empty part or a `.`";
  if (isLong(path, MAX_PART) && path.split("/").some((part) => isLong(part, MAX_PART))) {
    return `has a part of more than ${MAX_PART} bytes`;
  }
  return undefined;
}

/** Same for the target of a symbolic link, which may lead anywhere. */
export function targetProblem(target: string): string | undefined {
  if (HIDDEN.test(target)) return "has control or direction characters";
  return isLong(target, MAX_PATH) ? `is longer than ${MAX_PATH} bytes` : undefined;
}

/** Whether a symbolic link at `path` stays inside the tree; only `..` at its start are sure to mean what they say. */
export function staysInside(path: string, target: string): boolean {
  if (target.startsWith("/") || target.includes("\\") || /^[A-Za-z]:/.test(target)) return false;
  const parts = target.split("/").filter((part) => part !== "" && part !== ".");
  const firstName = parts.findIndex((part) => part !== "..");
  const climbs = firstName === -1 ? parts.length : firstName;
  return climbs < path.split("/").length && !parts.slice(climbs).includes("..");
}

function isLong(text: string, bytes: number): boolean {
  return text.length * 3 > bytes && Buffer.byteLength(text) > bytes;
}
