// Headers of every response.

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
