// Passwords: argon2id with 19 MiB and two passes, a few at a time.

import { invalidArgument } from "../errors.ts";
import { createSemaphore } from "./mutex.ts";

const COST = { algorithm: "argon2id", memoryCost: 19 * 1024, timeCost: 2 } as const;
const CURRENT = "$argon2id$v=19$m=19456,t=2,p=1$";
const MIN_BYTES = 8;
const MAX_BYTES = 1024;
// The hash of a discarded value, so that the check takes equally long for unknown and known users.
const NOBODY = `${CURRENT}9ykkITcsZx2zLG22sVcgW0bw+Tg+OXZVHK4vMrietPw$jOBV6BBn9JUcPCtIMCO2ezYX+ORlFS06d4TZNwjaL4w`;

// Each hash takes 19 MiB and a core for a fifth of a second, so a flood of them must wait, in a bounded queue.
const turns = createSemaphore(3, 64);

/** Errors: `invalid-argument` for a password too short, too long or with a NUL; `unavailable` when too many wait. */
export async function hashPassword(password: string): Promise<string> {
  const text = usableText(password);
  if (text === undefined)
    throw invalidArgument(`A password must have ${MIN_BYTES} to ${MAX_BYTES} bytes and no NUL character.`);
  return await turns.run(() => Bun.password.hash(text, COST));
}

/** False for a wrong password and for a hash that cannot be read. Errors: `unavailable` when too many wait. */
export async function verifyPassword(password: string, hash: string): Promise<boolean> {
  const text = usableText(password);
  if (text === undefined) return false;
  return await turns.run(() => Bun.password.verify(text, hash, "argon2id").catch(() => false));
}

/** Takes as long as `verifyPassword` and always returns false; for a user that does not exist. */
export async function verifyNobody(password: string): Promise<false> {
  await verifyPassword(password, NOBODY);
  return false;
}

/** Whether the hash has other parameters than the current ones. */
export function needsRehash(hash: string): boolean {
  return !hash.startsWith(CURRENT);
}

/** Normalizes a password, as keyboards and browsers compose characters differently; undefined if it is not allowed. */
function usableText(password: string): string | undefined {
  if (password.length > MAX_BYTES) return undefined;
  const text = password.normalize("NFKC");
  const bytes = Buffer.byteLength(text);
  return bytes >= MIN_BYTES && bytes <= MAX_BYTES && !text.includes("\0") ? text : undefined;
}
