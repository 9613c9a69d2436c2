// Answers that everybody gets, given once more to whoever asks the very same. Only a request without credentials is
// remembered, with all of its headers, and only as long as nothing in the database has changed that an answer could tell of.

import type { Borrower } from "../modules/lending.ts";
import { createLru } from "../modules/lru.ts";

/** What an answer holds, for the next who asks. */
export type CachedBody = {
  /** For one more who asks. Undefined once it is not at hand any more; null for an answer without content. */
  content(borrower: Borrower): Blob | null | undefined;
  /** What remembering it keeps in memory. */
  readonly heldBytes: number;
};

export type CachedResponse = CachedBody & {
  readonly status: number;
  /** Never changed: each answer gets a copy. */
  readonly headers: Headers;
  readonly route: string;
  readonly path: string;
};

/** The request as it will be asked again, and the state of the database before it was answered. */
export type CacheKey = { readonly text: string; readonly version: number };

export type ResponseCache = {
  /** To be called before anything is read; undefined for a request that is not remembered. */
  keyOf(request: Request): CacheKey | undefined;
  get(key: CacheKey): CachedResponse | undefined;
  /** Does nothing when the database has changed since `keyOf`. */
  set(key: CacheKey, answer: CachedResponse): void;
};

const MOST_ANSWERS = 5000;
const MOST_BYTES = 64 * 1024 ** 2;
const LONGEST_KEY = 4096;
/** What could tell two callers apart, or counts as one. */
const CREDENTIALS = ["authorization", "x-api-key", "cookie", "proxy-authorization"];

/** `version` changes with every commit to the database, whoever makes it, but for what no stranger is told. */
export function createResponseCache({ version }: { readonly version: () => number }): ResponseCache {
  const answers = createLru<string, CachedResponse>({
    maxEntries: MOST_ANSWERS,
    maxBytes: MOST_BYTES,
    sizeOf: ({ heldBytes }) => heldBytes + LONGEST_KEY,
  });
  let seen: number | undefined;
  return {
    keyOf: (request) => {
      const text = keyText(request);
      return text === undefined ? undefined : { text, version: version() };
    },
    get: (key) => {
      if (key.version !== seen) answers.clear();
      seen = key.version;
      return answers.get(key.text);
    },
    set: (key, answer) => {
      if (key.version === seen && key.version === version()) answers.set(key.text, answer);
    },
  };
}

function keyText({ method, url, headers }: Request): string | undefined {
  if ((method !== "GET" && method !== "HEAD") || url.includes("/t/") || url.includes("?")) return undefined;
  if (CREDENTIALS.some((name) => headers.has(name))) return undefined;
  let text = `${method} ${url}`;
  for (const [name, value] of headers) text += `\n${name}: ${value}`;
  return text.length > LONGEST_KEY ? undefined : text;
}
