// The credentials a request carries: Basic, Bearer, `token`, `X-API-Key`, or `/t/{token}` in the path.

import { unauthenticated } from "../../errors.ts";
import type { Credential } from "../../services/identities.ts";

const MAX_HEADER = 8 * 1024;
/** Longer than a recovery code with spaces. */
const MAX_CODE = 64;

/**
 * Returns every credential of the request for the identity service.
 * Errors: `unauthenticated` for a malformed header: a mistyped credential must not count as anonymous.
 */
export function credentialsOf(request: Request, pathToken: string | undefined): Credential[] {
  const credentials: Credential[] = [];
  if (pathToken !== undefined) credentials.push({ kind: "token", token: pathToken });
  const apiKey = request.headers.get("x-api-key");
  if (apiKey !== null) credentials.push({ kind: "token", token: apiKey.trim() });
  const authorization = request.headers.get("authorization");
  if (authorization !== null) credentials.push(fromAuthorization(authorization, request));
  return credentials;
}

/** Gitea's header for the two-factor code. Errors: `unauthenticated` when it is too long for a code. */
function codeOf({ headers }: Request): string | undefined {
  const code = headers.get("x-gitea-otp")?.trim();
  if (code !== undefined && code.length > MAX_CODE) throw unauthenticated("The X-Gitea-OTP header is too long.");
  return code === "" ? undefined : code;
}

function fromAuthorization(header: string, request: Request): Credential {
  if (header.length > MAX_HEADER) throw unauthenticated("The Authorization header is too long.");
  const match = /^\s*([A-Za-z][A-Za-z0-9_-]*)\s+(\S+)\s*$/.exec(header);
  const scheme = match?.[1]?.toLowerCase();
  const value = match?.[2] ?? "";
  if (scheme === "bearer" || scheme === "token") return { kind: "token", token: value };
  if (scheme === "basic") return fromBasic(value, codeOf(request));
  throw unauthenticated("The Authorization header must use the scheme Basic, Bearer or token.");
}

function fromBasic(value: string, code: string | undefined): Credential {
  const refusal = unauthenticated(
    "The Basic credentials are malformed: they must be user:password, encoded as base64.",
  );
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(value)) throw refusal;
  const text = decoded(Buffer.from(value, "base64"));
  const colon = text.indexOf(":");
  if (colon < 0) throw refusal;
  return { kind: "basic", user: text.slice(0, colon), password: text.slice(colon + 1), code };
}

/** Credentials are UTF-8 or, as conda and other programs that use the `requests` library send them, Latin-1. */
function decoded(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return bytes.toString("latin1");
  }
}
