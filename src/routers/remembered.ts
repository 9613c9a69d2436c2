// Answers that everybody gets, given once more to whoever asks the very same. Only a request without credentials is
// remembered, with all of its headers, and only as long as nothing in the database has changed that an answer could tell of.

import type { Borrower } from "../modules/lending.ts";
import { createLru } from "../modules/lru.ts";

/** What an answer holds, for the next who asks. */
export type Repeat = {
  /** For one more who asks. Undefined once it is not at hand any more; null for an answer without content. */
  content(borrower: Borrower): Blob | null | undefined;
  /** What remembering it keeps in memory. */
  readonly heldBytes: number;
};

export type Remembered = Repeat & {
  readonly status: number;
  /** Never changed: each answer gets a copy. */
  readonly headers: Headers;
  readonly route: string;
  readonly path: string;
};

/** The request as it will be asked again, and the state of the database before it was answered. */
export type Memo = { readonly key: string; readonly version: number };

export type RememberedAnswers = {
  /** To be called before anything is read; undefined for a request that is not remembered. */
  begin(request: Request): Memo | undefined;
  find(memo: Memo): Remembered | undefined;
  /** Does nothing when the database has changed since `begin`. */
  keep(memo: Memo, answer: Remembered): void;
};

const MOST_ANSWERS = 5000;
const MOST_BYTES = 64 * 1024 ** 2;
const LONGEST_KEY = 4096;
/** What could tell two callers apart, or counts as one. */
const CREDENTIALS = ["authorization", "x-api-key", "cookie", "proxy-authorization"];

/** `version` changes with every commit to the database, whoever makes it, but for what no stranger is told. */
export function createRememberedAnswers({ version }: { readonly version: () => number }): RememberedAnswers {
  const answers = createLru<string, Remembered>({
    maxEntries: MOST_ANSWERS,
    maxBytes: MOST_BYTES,
    sizeOf: ({ heldBytes }) => heldBytes + LONGEST_KEY,
  });
  let seen: number | undefined;
  return {
    begin: (request) => {
      const key = keyOf(request);
      return key === undefined ? undefined : { key, version: version() };
    },
    find: (memo) => {
      if (memo.version !== seen) answers.clear();
      seen = memo.version;
      return answers.get(memo.key);
    },
    keep: (memo, answer) => {
      if (memo.version === seen && memo.version === version()) answers.set(memo.key, answer);
    },
  };
}

function keyOf({ method, url, headers }: Request): string | undefined {
  if ((method !== "GET" && method !== "HEAD") || url.includes("/t/") || url.includes("?")) return undefined;
  if (CREDENTIALS.some((name) => headers.has(name))) return undefined;
  let key = `${method} ${url}`;
  for (const [name, value] of headers) key += `\n${name}: ${value}`;
  return key.length > LONGEST_KEY ? undefined : key;
}
