// Who must have two-factor authentication, by the setting `require-two-factor`.

import type { UserWithOwner } from "../models/user.ts";

export const TWO_FACTOR_POLICIES = ["no", "admins", "all"] as const;
export type TwoFactorPolicy = (typeof TWO_FACTOR_POLICIES)[number];

/** Whether the user must turn it on before the password is good for anything else. */
export function lacksTwoFactor(
  policy: TwoFactorPolicy,
  user: Pick<UserWithOwner, "isAdmin" | "hasTwoFactor">,
): boolean {
  return !user.hasTwoFactor && (policy === "all" || (policy === "admins" && user.isAdmin));
}
