// Builds Cache-Control headers: one function per class of resource.

/** `isPublic` is false for a resource that is not readable by everyone, and for every URL that contains a token. */
export type Reach = { readonly isPublic: boolean };

const YEAR = 31_536_000;

/** Index documents: clients revalidate each time, unless the channel allows some seconds. */
export function documentCaching(reach: Reach & { readonly maxAge: number }): Headers {
  return cacheControl(reach.isPublic ? `public, max-age=${reach.maxAge}, must-revalidate` : "private, max-age=0");
}

/** Shards are named by their hash. */
export function shardCaching(reach: Reach): Headers {
  return cacheControl(`${reach.isPublic ? "public" : "private"}, max-age=${YEAR}, immutable`);
}

/** The bytes of a package URL are fixed only in a channel with immutable names. */
export function packageCaching(reach: Reach & { readonly immutable: boolean }): Headers {
  if (reach.immutable) return shardCaching(reach);
  return cacheControl(reach.isPublic ? "public, no-cache" : "private, max-age=0");
}

function cacheControl(value: string): Headers {
  return new Headers({ "cache-control": value });
}
