// A raw request path, before a package type's own routes look at it: its token, and its segments.

/** A path with its `/t/{token}` taken off the front; `token` is undefined when there is none. */
export type TokenPath = { readonly token: string | undefined; readonly path: string };

/** Takes `/t/{token}` off a raw path, before anything else looks at it. */
export function splitToken(path: string): TokenPath {
  const match = /^\/t\/([^/]*)(\/.*)?$/s.exec(path);
  if (!match) return { token: undefined, path };
  return { token: decodeSegment(match[1] ?? "") ?? "", path: match[2] ?? "/" };
}

/** The segments, each decoded once; undefined when one is empty or cannot be decoded without doubt. */
export function decodePath(path: string): string[] | undefined {
  const segments: string[] = [];
  for (const raw of path.slice(1).split("/")) {
    const segment = decodeSegment(raw);
    if (segment === undefined || segment === "") return undefined;
    segments.push(segment);
  }
  return segments;
}

/** Decodes once; undefined for bad escapes and for what would decode to a separator or a control character. */
function decodeSegment(raw: string): string | undefined {
  let text: string;
  try {
    text = decodeURIComponent(raw);
  } catch {
    return undefined;
  }
  return /[/\\\p{Cc}]/u.test(text) || text === "." || text === ".." ? undefined : text;
}
