// I-13: secrets are stored as hashes of the right kind, and texts for people hold no token. No message repeats one.

import type { AuditEventRow } from "../../models/audit-event.ts";
import type {
  CheckedAccount,
  CheckedChannel,
  CheckedCode,
  CheckedOwner,
  CheckedToken,
} from "../../models/row-pages.ts";
import { NO_PASSWORD } from "../../models/user.ts";
import { tokensIn } from "../../modules/ids.ts";
import { isStrongHash } from "../../modules/passwords.ts";
import { isHash } from "../../modules/storage/keys.ts";
import { channelLabel } from "../channel-ref.ts";
import type { Report } from "../index/repair/verify.ts";

export function checkPasswordHash({ name, organizationId, passwordHash, id }: CheckedAccount, report: Report): void {
  if (organizationId === null) {
    if (isStrongHash(passwordHash)) return;
    const what = "its password is not stored as argon2id with the current parameters";
    return report("I-13", `user ${name}`, `${what}: run condarium user set-password ${name}`);
  }
  if (passwordHash === NO_PASSWORD) return;
  const mark = `UPDATE "user" SET password_hash = '${NO_PASSWORD}' WHERE id = ${id}`;
  report("I-13", `robot ${name}`, `it has a password, which no robot can have: end it with the SQL ${mark}`);
}

export function checkTokenHash({ id, account, tokenHash }: CheckedToken, report: Report): void {
  if (isHash(tokenHash)) return;
  const end = `DELETE FROM access_token WHERE id = ${id}`;
  report(
    "I-13",
    `token ${id} of ${account ?? "nobody"}`,
    `its hash is no SHA-256 in hexadecimal, so nobody can use it: delete it with the SQL ${end}, and create another one`,
  );
}

export function checkCodeHash({ userId, codeHash, account }: CheckedCode, report: Report): void {
  if (isHash(codeHash)) return;
  report(
    "I-13",
    `recovery code of ${account ?? `user ${userId}`}`,
    "its hash is no SHA-256 in hexadecimal: let the user turn two-factor authentication off and on again, " +
      `or run condarium user reset-two-factor ${account ?? "USER"}`,
  );
}

export function checkOwnerTexts({ kind, name, displayName, description }: CheckedOwner, report: Report): void {
  checkTexts({ "display name": displayName, description }, { subject: `${kind} ${name}`, next: CHANGE }, report);
}

export function checkChannelTexts({ owner, type, name, description }: CheckedChannel, report: Report): void {
  checkTexts({ description }, { subject: `channel ${channelLabel(owner, name, type)}`, next: CHANGE }, report);
}

export function checkEventTexts({ id, detail, target, subject }: AuditEventRow, report: Report): void {
  checkTexts({ detail, target, subject }, { subject: `audit event ${id}`, next: "" }, report);
}

/** The reason of a quarantine. */
export function checkQuarantine(subject: string, quarantine: string | null, report: Report): void {
  checkTexts({ quarantine: quarantine ?? "" }, { subject, next: ", and quarantine the file again" }, report);
}

const CHANGE = ", and change the text";

/** `next`: what to do once the token is revoked. */
function checkTexts(
  texts: Readonly<Record<string, string>>,
  { subject, next }: { readonly subject: string; readonly next: string },
  report: Report,
): void {
  for (const [what, text] of Object.entries(texts)) {
    if (tokensIn(text).length === 0) continue;
    const end = `revoke it with condarium token find --revoke, which reads it on standard input${next}`;
    report("I-13", subject, `its ${what} holds an access token: ${end}`);
  }
}
