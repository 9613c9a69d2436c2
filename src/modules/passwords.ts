// Passwords: argon2id with 19 MiB and two passes, a few at a time.

import { AppError } from "../errors.ts";
import { COMMON_PASSWORDS } from "./common-passwords.ts";
import { systemClock } from "./clock.ts";
import { createFairTurns, type FairTurns } from "./fair-turns.ts";

/** Who waits for a hash: a network, or the server for its own work. */
export type HashingTurn = {
  readonly who: string;
  /** Called when the turn has come, before the hash. */
  readonly begin?: () => Promise<void>;
};

const COST = { algorithm: "argon2id", memoryCost: 19 * 1024, timeCost: 2 } as const;
const CURRENT = "$argon2id$v=19$m=19456,t=2,p=1$";
const FORM = /^\$argon2id\$v=19\$m=(\d{1,9}),t=(\d{1,9}),p=\d{1,3}\$[0-9A-Za-z+/]{43}\$[0-9A-Za-z+/]{43}$/;
const MIN_BYTES = 8;
const MAX_BYTES = 1024;
// The hash of a discarded value, so that the check takes equally long for unknown and known users.
const NOBODY = `${CURRENT}9ykkITcsZx2zLG22sVcgW0bw+Tg+OXZVHK4vMrietPw$jOBV6BBn9JUcPCtIMCO2ezYX+ORlFS06d4TZNwjaL4w`;

// Each hash takes 19 MiB and a core for a twentieth of a second. Waiting costs little memory, and the network with the
// least recent work is next, so a long queue delays only the networks that fill it.
export function createHashingTurns(): FairTurns {
  return createFairTurns({
    slots: 3,
    queue: 2048,
    queuePerUser: 32,
    patienceMs: 30_000,
    now: systemClock.elapsed,
    texts: {
      full: "Too many logins are waiting. Retry in a few seconds.",
      tooLong: "The server is busy with other logins. Retry later.",
      tooMany: (_, limit) =>
        `${limit} logins from your network are waiting, which is the limit. Retry in a few seconds.`,
    },
  });
}

let turns: Pick<FairTurns, "run"> = createHashingTurns();

/** From now on, hashes of this process wait for turns that several processes share. */
export function shareHashingTurns(shared: Pick<FairTurns, "run">): void {
  turns = shared;
}

const OWN_WORK: HashingTurn = { who: "" };

/** Hashes a password that somebody has chosen. Errors: `weak-password` for a common one, and those of `hashPassword`. */
export async function hashNewPassword(password: string): Promise<string> {
  if (COMMON_PASSWORDS.has(usableText(password)?.toLowerCase() ?? ""))
    throw new AppError("weak-password", "This password is one of the 3,000 commonest: choose another one.");
  return await hashPassword(password);
}

/**
 * Errors: `weak-password` for a password too short, too long or with a NUL; `throttled` when the network has too many
 * waiting, `unavailable` when all together have.
 */
export async function hashPassword(password: string, turn = OWN_WORK): Promise<string> {
  const text = usableText(password);
  if (text === undefined)
    throw new AppError(
      "weak-password",
      `A password must have ${MIN_BYTES} to ${MAX_BYTES} bytes and no NUL character.`,
    );
  return await turns.run(turn.who, () => Bun.password.hash(text, COST));
}

/**
 * False for a wrong password and for a hash that cannot be read. Errors: `throttled` and `unavailable` as for
 * `hashPassword`; what `begin` throws.
 */
export async function verifyPassword(password: string, hash: string, turn = OWN_WORK): Promise<boolean> {
  const text = usableText(password);
  return await turns.run(turn.who, async () => {
    await turn.begin?.();
    return text !== undefined && (await Bun.password.verify(text, hash, "argon2id").catch(() => false));
  });
}

/** Takes as long as `verifyPassword` and always returns false; for a user that does not exist. */
export async function verifyNobody(password: string, turn = OWN_WORK): Promise<false> {
  await verifyPassword(password, NOBODY, turn);
  return false;
}

/** Whether the hash has other parameters than the current ones. */
export function needsRehash(hash: string): boolean {
  return !hash.startsWith(CURRENT);
}

/** Whether the hash has the form of those that are made here, and parameters that are at least the current ones. */
export function isStrongHash(hash: string): boolean {
  const [, memory, passes] = FORM.exec(hash) ?? [];
  return Number(memory) >= COST.memoryCost && Number(passes) >= COST.timeCost;
}

/** Normalizes a password, as keyboards and browsers compose characters differently; undefined if it is not allowed. */
function usableText(password: string): string | undefined {
  if (password.length > MAX_BYTES) return undefined;
  const text = password.normalize("NFKC");
  const bytes = Buffer.byteLength(text);
  return bytes >= MIN_BYTES && bytes <= MAX_BYTES && !text.includes("\0") ? text : undefined;
}
