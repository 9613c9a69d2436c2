// The rules for the names of all owners.

const OWNER = /^[a-z0-9][a-z0-9._-]{0,62}$/;
/** First path segments of the server's own URLs, including planned ones. */
const RESERVED = ["t", "api", "get", "login", "logout", "assets", "static", "docs", "health", "metrics"];

const PREFIX_SEGMENT = /^[A-Za-z0-9][A-Za-z0-9._~-]*$/;

/** Whether a URL path with these segments can precede the server's own paths without being mistaken for one of them. */
export function isPathPrefix(segments: readonly string[]): boolean {
  const [first = ""] = segments;
  return !RESERVED.includes(first.toLowerCase()) && segments.every((part) => PREFIX_SEGMENT.test(part) && part !== "t");
}

/** Whether `text` is a valid owner name in its stored lower-case form, and not reserved for the server's URLs. */
export function isOwnerName(text: string): boolean {
  return OWNER.test(text) && !RESERVED.includes(text);
}
