// What owners may be called, whatever they hold.

const OWNER = /^[a-z0-9][a-z0-9._-]{0,62}$/;
/** First segments of the server's own addresses, those to come included. */
const WORDS = ["t", "api", "get", "login", "logout", "assets", "static", "docs", "health", "metrics"];

/** The name of an owner, in lower case as it is stored; words that the server's addresses need are none. */
export function isOwnerName(text: string): boolean {
  return OWNER.test(text) && !WORDS.includes(text);
}
