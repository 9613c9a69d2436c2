// Entity tags and what they decide, by RFC 9110 sections 8.8.3 and 13.

export type Validators = {
  /** Strong, of the exact bytes. */
  readonly etag: string;
  /**
   * ms UTC. Only for content that can never change under its address: a date has no finer grain than a second and does
   * not tell one document from another, so composed documents go without.
   */
  readonly lastModified?: number;
};

/** Headers as the request has them, null when absent. */
export type Conditions = { readonly ifNoneMatch: string | null; readonly ifModifiedSince?: string | null };

export function strongEtag(hash: string): string {
  if (!/^[0-9A-Za-z._-]+$/.test(hash)) throw new Error("an entity tag is made of a hash");
  return `"${hash}"`;
}

/** Whether an `If-None-Match` names the tag: a list, `*`, weak or strong; weak comparison, as 304 wants it. */
export function matchesEtag(ifNoneMatch: string | null, etag: string): boolean {
  if (ifNoneMatch === null) return false;
  if (ifNoneMatch.trim() === "*") return true;
  const bare = etag.replace(/^W\//, "");
  return ifNoneMatch.matchAll(/"[^"]*"/g).some(([tag]) => tag === bare);
}

/** Whether 304 is the answer to a GET or HEAD. `If-None-Match` decides alone; a date only where there is none. */
export function notModified(conditions: Conditions, validators: Validators): boolean {
  if (conditions.ifNoneMatch !== null) return matchesEtag(conditions.ifNoneMatch, validators.etag);
  if (validators.lastModified === undefined) return false;
  const since = httpDate(conditions.ifModifiedSince ?? null);
  return since !== undefined && Math.floor(validators.lastModified / 1000) <= since / 1000;
}

/** A date of HTTP as ms UTC; undefined for anything else. */
export function httpDate(header: string | null): number | undefined {
  if (header === null || !/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(header))
    return undefined;
  const time = Date.parse(header);
  return Number.isNaN(time) ? undefined : time;
}
