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
export type CacheKey = { readonly text: string; readonly version: Version };

export type ResponseCache = {
  /**
   * Call it before reading any data. Undefined for a request whose response is not stored, or while the version is not
   * known. A promise only if the version is one.
   */
  keyOf(request: Request): CacheKey | undefined | Promise<CacheKey | undefined>;
  get(key: CacheKey): CachedResponse | undefined;
  /** Does nothing when the database has changed since `keyOf`. */
  set(key: CacheKey, response: CachedResponse): void;
};

const MAX_RESPONSES = 5000;
const MAX_BYTES = 64 * 1024 ** 2;
const MAX_KEY = 4096;
/** Headers that are a credential or can identify a caller. */
const CREDENTIALS = ["authorization", "x-api-key", "cookie", "proxy-authorization"];

/** Equal versions of the database mean equal content. */
type Version = string | number;

type ResponseCacheParts = {
  /** See `Database.version()`. */
  readonly version: () => Version | Promise<Version>;
  /** Processes that share the memory of one server. */
  readonly processes?: number;
};

/** `version` changes with every commit of any process, except commits of data that no anonymous response shows. */
export function createResponseCache({ version, processes = 1 }: ResponseCacheParts): ResponseCache {
  const responses = createLru<string, CachedResponse>({
    maxEntries: MAX_RESPONSES,
    // Divided, since processes cannot lend memory to each other, and each gets its share of the connections.
    maxBytes: MAX_BYTES / processes,
    sizeOf: ({ heldBytes }) => heldBytes + MAX_KEY,
  });
  let seen: Version | undefined;
  return {
    keyOf: (request) => {
      const text = keyText(request);
      if (text === undefined) return undefined;
      const now = version();
      if (!(now instanceof Promise)) return { text, version: now };
      return now.then((known) => ({ text, version: known })).catch(() => undefined);
    },
    get: (key) => {
      if (key.version !== seen) responses.clear();
      seen = key.version;
      return responses.get(key.text);
    },
    set: (key, response) => {
      const store = (now: Version): void => {
        if (key.version === seen && key.version === now) responses.set(key.text, response);
      };
      const now = version();
      if (now instanceof Promise) void now.then(store).catch(() => undefined);
      else store(now);
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
