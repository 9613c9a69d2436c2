// Entity tags and conditional requests (RFC 9110 sections 8.8.3 and 13).

export function strongEtag(hash: string): string {
  if (!/^[0-9A-Za-z._-]+$/.test(hash)) throw new Error("an entity tag needs a hash");
  return `"${hash}"`;
}

/** Whether an `If-None-Match` (a list or `*`) names the tag. Compares weakly, as 304 requires. */
export function matchesEtag(ifNoneMatch: string | null, etag: string): boolean {
  if (ifNoneMatch === null) return false;
  if (ifNoneMatch.trim() === "*") return true;
  const bare = etag.replace(/^W\//, "");
  return ifNoneMatch.matchAll(/"[^"]*"/g).some(([tag]) => tag === bare);
}

/** Parses an HTTP date into ms UTC; undefined for anything else. */
export function httpDate(header: string | null): number | undefined {
  if (header === null || !/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(header))
    return undefined;
  const time = Date.parse(header);
  return Number.isNaN(time) ? undefined : time;
}
