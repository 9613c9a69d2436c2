// URLs in responses, documents and messages.

/**
 * The URL of a path below `base`. A plus and an exclamation mark stay unescaped: conda takes the file name out of a URL
 * without decoding it.
 */
export function urlBelow(base: string, ...segments: readonly string[]): string {
  return [base, ...segments.map(encodeSegment)].join("/");
}

/** The path of a base URL, without a slash at its end; `""` when the URL has none. */
export function pathOf(baseUrl: string): string {
  return new URL(baseUrl).pathname.replace(/\/$/, "");
}

function encodeSegment(text: string): string {
  return encodeURIComponent(text).replaceAll("%2B", "+");
}
