// Checks the path of an archive member, so that every system unpacks it inside the target folder.

const MAX_PATH = 4096;
const MAX_PART = 255;

// Characters that end a name early, hide or reorder it, or break the line it is shown in.
const HIDDEN = /[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
const UPWARD = /(?:^|\/)\.\.(?:\/|$)/;
const EMPTY_PART = /(?:^|\/)\.?(?:\/|$)/;

const NOT_ASCII = /[^\0-\x7f]/;
/** Windows drops these at the end of a name; HFS+ ignores the characters of `IGNORED` everywhere. */
const IGNORED_AT_END = /[. ](?:\/|$)/;
const IGNORED = /[\u200c-\u200d\u206a-\u206f\ufeff]/g;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Undefined for bytes that are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Returns the fault of a path, worded to follow "The path ..."; undefined for a valid path. */
export function pathProblem(path: string): string | undefined {
  if (path === "") return "is empty";
  if (HIDDEN.test(path)) return "has control or direction characters";
  if (path.includes("\\")) return "has a backslash";
  if (path.startsWith("/") || /^[A-Za-z]:/.test(path)) return "is absolute";
  if (isLong(path, MAX_PATH)) return `is longer than ${MAX_PATH} bytes`;
  if (UPWARD.test(path)) return "has a `..` part";
  if (EMPTY_PART.test(path)) return "has an empty part or a `.`";
  if (isLong(path, MAX_PART) && path.split("/").some((part) => isLong(part, MAX_PART))) {
    return `has a part of more than ${MAX_PART} bytes`;
  }
  return undefined;
}

/** The same for the target of a symbolic link, which is allowed to point anywhere. */
export function targetProblem(target: string): string | undefined {
  if (target === "") return "is empty";
  if (HIDDEN.test(target)) return "has control or direction characters";
  return isLong(target, MAX_PATH) ? `is longer than ${MAX_PATH} bytes` : undefined;
}

/**
 * Maps paths to equal keys when some system treats them as the same path: systems ignore case, the composition of
 * accents, invisible characters, or dots and spaces at the end of a name.
 */
export function foldPath(path: string): string {
  const trimmed = IGNORED_AT_END.test(path) ? path.split("/").map(trimName).join("/") : path;
  if (!NOT_ASCII.test(trimmed)) return trimmed.toUpperCase();
  const visible = trimmed.replace(IGNORED, "").normalize("NFD");
  // Both conversions, since some letters have a counterpart in one case only.
  return visible.toLowerCase().toUpperCase().normalize("NFD");
}

/** Whether a symbolic link at `path` stays inside the tree; no when a `..` after a name could follow another link. */
export function staysInside(path: string, target: string): boolean {
  if (target.startsWith("/") || target.includes("\\") || /^[A-Za-z]:/.test(target)) return false;
  const parts = target.split("/").filter((part) => part !== "" && part !== ".");
  const firstName = parts.findIndex((part) => part !== "..");
  const climbs = firstName === -1 ? parts.length : firstName;
  return climbs < path.split("/").length && !parts.slice(climbs).includes("..");
}

function trimName(name: string): string {
  let end = name.length;
  while (name[end - 1] === "." || name[end - 1] === " ") end -= 1;
  return name.slice(0, end);
}

function isLong(text: string, bytes: number): boolean {
  return text.length * 3 > bytes && Buffer.byteLength(text) > bytes;
}
