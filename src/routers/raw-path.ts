// A raw request path, before the routes of a package type parse it: its token, its prefix and its segments.

/** A path without its `/t/{token}`; `token` is undefined when there is none. */
export type TokenPath = { readonly token: string | undefined; readonly path: string };

/** Where conda inserts a token into a channel URL: before the channel, whose location it does not know otherwise. */
const BEFORE_CHANNEL = /^(\/api\/packages\/[^/]+\/conda|\/get(?:\/(?!t\/)[^/]+)?|\/(?!api\/)[^/]+)(?=\/t\/)/;

/**
 * Removes the token from a raw path, before any route or log line uses the path, and `prefix`, the path of `public-url`.
 * The token follows the host, the prefix, or the part before the channel.
 */
export function splitPath(raw: string, prefix: string): TokenPath {
  const front = splitToken(raw);
  const path = withoutPrefix(front.path, prefix);
  if (front.token !== undefined) return { token: front.token, path };
  const before = path.startsWith("/t/") ? "" : (BEFORE_CHANNEL.exec(path)?.[0] ?? "");
  const { token, path: after } = splitToken(path.slice(before.length));
  return { token, path: before + after };
}

/** Removes `/t/{token}` from the front of a raw path. */
export function splitToken(path: string): TokenPath {
  const match = /^\/t\/([^/]*)(\/.*)?$/s.exec(path);
  if (!match) return { token: undefined, path };
  return { token: decodeSegment(match[1] ?? "") ?? "", path: match[2] ?? "/" };
}

function withoutPrefix(path: string, prefix: string): string {
  if (prefix === "" || !path.startsWith(prefix)) return path;
  const rest = path.slice(prefix.length);
  return rest === "" || rest.startsWith("/") ? rest || "/" : path;
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

/**
 * Decodes once; undefined for bad escapes, `.`, `..`, and a result with a separator or a control character. With
 * `slashes` the result can be several segments.
 */
export function decodeSegment(raw: string, { slashes = false } = {}): string | undefined {
  let text: string;
  try {
    text = decodeURIComponent(raw);
  } catch {
    return undefined;
  }
  const parts = slashes ? text.split("/") : [text];
  const isUsable = parts.every((part) => !/[/\\\p{Cc}]/u.test(part) && part !== "." && part !== "..");
  return isUsable && (parts.length === 1 || !parts.includes("")) ? text : undefined;
}
