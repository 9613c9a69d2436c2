// Replays stored responses to identical requests: same method, URL and headers, without credentials. An entry is valid
// until the next commit that changes data a response can show.

import type { Borrower } from "../modules/lending.ts";
import { createLru } from "../modules/lru.ts";

/** The body of a stored response. */
export type CachedBody = {
  /** The content for one more response; undefined once it has left memory, null for a response without content. */
  content(borrower: Borrower): Blob | null | undefined;
  /** Bytes of memory that the stored body holds. */
  readonly heldBytes: number;
};

export type CachedResponse = CachedBody & {
  readonly status: number;
  /** Never modified: each response gets a copy. */
  readonly headers: Headers;
  readonly route: string;
  readonly path: string;
};

/** The text that identical requests share, and the database version before the request was handled. */
export type CacheKey = { readonly text: string; readonly version: number };

export type ResponseCache = {
  /** Call it before reading any data. Undefined for a request whose response is not stored. */
  keyOf(request: Request): CacheKey | undefined;
  get(key: CacheKey): CachedResponse | undefined;
  /** Does nothing when the database has changed since `keyOf`. */
  set(key: CacheKey, response: CachedResponse): void;
};

const MAX_RESPONSES = 5000;
const MAX_BYTES = 64 * 1024 ** 2;
const MAX_KEY = 4096;
/** Headers that are a credential or can identify a caller. */
const CREDENTIALS = ["authorization", "x-api-key", "cookie", "proxy-authorization"];

/** `version` changes with every commit of any process, except commits of data that no anonymous response shows. */
export function createResponseCache({ version }: { readonly version: () => number }): ResponseCache {
  const responses = createLru<string, CachedResponse>({
    maxEntries: MAX_RESPONSES,
    maxBytes: MAX_BYTES,
    sizeOf: ({ heldBytes }) => heldBytes + MAX_KEY,
  });
  let seen: number | undefined;
  return {
    keyOf: (request) => {
      const text = keyText(request);
      return text === undefined ? undefined : { text, version: version() };
    },
    get: (key) => {
      if (key.version !== seen) responses.clear();
      seen = key.version;
      return responses.get(key.text);
    },
    set: (key, response) => {
      if (key.version === seen && key.version === version()) responses.set(key.text, response);
    },
  };
}

function keyText({ method, url, headers }: Request): string | undefined {
  if ((method !== "GET" && method !== "HEAD") || url.includes("/t/") || url.includes("?")) return undefined;
  if (CREDENTIALS.some((name) => headers.has(name))) return undefined;
  let text = `${method} ${url}`;
  for (const [name, value] of headers) text += `\n${name}: ${value}`;
  return text.length > MAX_KEY ? undefined : text;
}
