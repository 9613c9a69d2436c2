// Codes of authenticator apps (RFC 6238), with the parameters that every app knows: SHA-1, 6 digits, 30 seconds.

import { Secret, TOTP } from "otpauth";

/** Steps before and after the present one whose codes are accepted too: the clocks of telephones differ. */
const WINDOW = 1;
const SECRET_BYTES = 20;
const RECOVERY_BYTES = 10;
export const STEP_MS = 30_000;

/** Base32, as people type it into an app that cannot read a QR code. */
export function createTotpSecret(): string {
  return new Secret({ size: SECRET_BYTES }).base32;
}

/** What a QR code for an authenticator app contains. */
export function totpUri(secret: string, { issuer, account }: { issuer: string; account: string }): string {
  return new TOTP({ issuer, label: account, secret }).toString();
}

/** The time step whose code this is; undefined for a wrong code. `now`: ms UTC. */
export function totpStep(code: string, secret: string, now: number): number | undefined {
  const totp = new TOTP({ secret });
  const delta = totp.validate({ token: code, timestamp: now, window: WINDOW });
  return delta === null ? undefined : totp.counter({ timestamp: now }) + delta;
}

/** 80 random bits for people to write down: four groups of four lower-case characters of base32. */
export function createRecoveryCode(): string {
  const text = new Secret({ size: RECOVERY_BYTES }).base32.toLowerCase();
  return (text.match(/.{4}/g) ?? []).join("-");
}

/** A code as people type it: without spaces and dashes, in lower case. */
export function plainCode(text: string): string {
  return text.replaceAll(/[\s-]/g, "").toLowerCase();
}

export function isTotpCode(plain: string): boolean {
  return /^[0-9]{6}$/.test(plain);
}
