// The second step of a login: a code of the authenticator app or a recovery code. Each counts once, on whatever server.

import { createHmac, randomBytes } from "node:crypto";
import { unauthenticated, type AppError } from "../errors.ts";
import type { Database } from "../models/database.ts";
import { findSecondFactor, useRecoveryCode, useStep } from "../models/second-factor.ts";
import type { UserWithOwner } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import { sha256Hex } from "../modules/hash.ts";
import { networkOf } from "../modules/http/client-address.ts";
import { isTotpCode, plainCode, STEP_MS, totpStep } from "../modules/totp.ts";
import type { Sender } from "./actor.ts";
import { recordAudit } from "./audit.ts";
import { accountOf } from "./login-limits.ts";
import type { Throttle } from "./throttle.ts";

export type LoginCodes = {
  /**
   * Uses up a code of a user who has two-factor authentication; `text` is as the user typed it. A wrong code counts as a
   * failed login. Errors: `unauthenticated` for no code, a wrong one or a used one; `throttled`.
   */
  use(user: UserWithOwner, text: string | undefined, sender: Sender): Promise<void>;
};

export type LoginCodesParts = { readonly database: Database; readonly throttle: Throttle; readonly clock: Clock };

type Outcome = "accepted" | "used" | "wrong";

const HOW =
  "Send the code that your authenticator app shows, or a recovery code, in the header X-Gitea-OTP, or use an access " +
  "token instead of the password.";

export function createLoginCodes(parts: LoginCodesParts): LoginCodes {
  const { throttle, clock } = parts;
  const processKey = randomBytes(32);

  /** A wrong code that is repeated counts once, until the clock has moved on and it may be right. */
  const guessOf = (user: UserWithOwner, code: string): string =>
    createHmac("sha256", processKey)
      .update(JSON.stringify([user.id, Math.floor(clock.now() / STEP_MS), code]))
      .digest("hex");

  return {
    use: async (user, text, sender) => {
      const code = plainCode(text ?? "");
      if (code === "") throw refusal(user, `The account has two-factor authentication. ${HOW}`, "without a code");
      const attempt = { account: accountOf(user), network: networkOf(sender.address), guess: guessOf(user, code) };
      if (throttle.isRepeated(attempt)) throw wrong(user);
      const outcome = await throttle.attempt(attempt, async (begin) => {
        await begin();
        const found = await useOnce(parts, user, { code, sender });
        // A used code is no guess: programs repeat it in requests that they send at the same time.
        return found === "wrong" ? undefined : found;
      });
      if (outcome === undefined) throw wrong(user);
      if (outcome === "used") throw refusal(user, `The two-factor code has been used. ${HOW}`, "with a used code");
    },
  };
}

async function useOnce(
  { database, clock }: LoginCodesParts,
  user: UserWithOwner,
  { code, sender }: { readonly code: string; readonly sender: Sender },
): Promise<Outcome> {
  if (isTotpCode(code)) {
    const factor = await findSecondFactor(database.read, user.id);
    const step = factor && totpStep(code, factor.secret, clock.now());
    if (!factor || step === undefined) return "wrong";
    return (await database.transact((tx) => useStep(tx, factor, step), { isUnseen: true })) ? "accepted" : "used";
  }
  return await database.transact(
    async (tx) => {
      const left = await useRecoveryCode(tx, user.id, sha256Hex(code));
      if (left === undefined) return "wrong";
      const { address, requestId } = sender;
      const actor = {
        kind: "request",
        identity: { kind: "user", user },
        address,
        requestId,
        surface: "conda",
      } as const;
      const event = { at: clock.now(), action: "two-factor.recovery", owner: user.owner, detail: { left } } as const;
      await recordAudit(tx, actor, event);
      return "accepted";
    },
    { isUnseen: true },
  );
}

function wrong(user: UserWithOwner): AppError {
  return refusal(user, `The two-factor code is wrong. ${HOW}`, "with a wrong code");
}

/** Only who has the password gets these answers. */
function refusal(user: UserWithOwner, message: string, reason: string): AppError {
  return unauthenticated(message, { log: `login to ${user.owner.name} ${reason}` });
}
