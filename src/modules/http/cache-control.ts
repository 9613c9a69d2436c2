// How long an answer may be kept, and by whom: one function per class of resource.

/** `isPublic` is false for whatever not everyone may read, and for every address that holds a token. */
export type Reach = { readonly isPublic: boolean };

const YEAR = 31_536_000;

/** Documents of the index: asked for again each time, unless the channel allows some seconds. */
export function documentCaching(reach: Reach & { readonly maxAge: number }): Headers {
  return cacheControl(reach.isPublic ? `public, max-age=${reach.maxAge}, must-revalidate` : "private, max-age=0");
}

/** Shards are named by their hash. */
export function shardCaching(reach: Reach): Headers {
  return cacheControl(`${reach.isPublic ? "public" : "private"}, max-age=${YEAR}, immutable`);
}

/** Packages keep their bytes only where the channel's names are immutable. */
export function packageCaching(reach: Reach & { readonly immutable: boolean }): Headers {
  if (reach.immutable) return shardCaching(reach);
  return cacheControl(reach.isPublic ? "public, no-cache" : "private, max-age=0");
}

function cacheControl(value: string): Headers {
  return new Headers({ "cache-control": value });
}
