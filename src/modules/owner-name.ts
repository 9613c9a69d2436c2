// The rules for the names of all owners.

const OWNER = /^[a-z0-9][a-z0-9._-]{0,62}$/;
/** First path segments of the server's own URLs, including planned ones. */
const RESERVED = ["t", "api", "get", "login", "logout", "assets", "static", "docs", "health", "metrics"];

/** Whether `text` is a valid owner name in its stored lower-case form, and not reserved for the server's URLs. */
export function isOwnerName(text: string): boolean {
  return OWNER.test(text) && !RESERVED.includes(text);
}
