// Headers of every response, and those of responses that web pages of every origin can read.

const ALWAYS: readonly (readonly [string, string])[] = [
  ["x-content-type-options", "nosniff"],
  ["referrer-policy", "no-referrer"],
  ["x-frame-options", "DENY"],
  ["cross-origin-resource-policy", "cross-origin"],
  ["permissions-policy", "interest-cohort=()"],
];
const NO_SCRIPTS = "default-src 'none'; frame-ancestors 'none'; sandbox";

export function setSecurityHeaders(headers: Headers): void {
  for (const [name, value] of ALWAYS) headers.set(name, value);
  if (!headers.has("content-security-policy")) headers.set("content-security-policy", NO_SCRIPTS);
}

const EXPOSED = "ETag, Content-Range, Accept-Ranges, Content-Length";

/** Lets web pages of every origin read a response; without `Allow-Credentials`, browsers do so only anonymously. */
export function allowAllOrigins(headers: Headers): void {
  headers.set("access-control-allow-origin", "*");
  headers.set("access-control-expose-headers", EXPOSED);
}
