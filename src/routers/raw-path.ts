// A raw request path, before the routes of a package type parse it: its token and its segments.

/** A path without its leading `/t/{token}`; `token` is undefined when there is none. */
export type TokenPath = { readonly token: string | undefined; readonly path: string };

/** Removes `/t/{token}` from a raw path, before any route or log line uses the path. */
export function splitToken(path: string): TokenPath {
  const match = /^\/t\/([^/]*)(\/.*)?$/s.exec(path);
  if (!match) return { token: undefined, path };
  return { token: decodeSegment(match[1] ?? "") ?? "", path: match[2] ?? "/" };
}

/** The segments, each decoded once; undefined when one is empty or its decoding is ambiguous. */
export function decodePath(path: string): string[] | undefined {
  const segments: string[] = [];
  for (const raw of path.slice(1).split("/")) {
    const segment = decodeSegment(raw);
    if (segment === undefined || segment === "") return undefined;
    segments.push(segment);
  }
  return segments;
}

/** Decodes once; undefined for bad escapes, `.`, `..`, and a result with a separator or a control character. */
function decodeSegment(raw: string): string | undefined {
  let text: string;
  try {
    text = decodeURIComponent(raw);
  } catch {
    return undefined;
  }
  return /[/\\\p{Cc}]/u.test(text) || text === "." || text === ".." ? undefined : text;
}
