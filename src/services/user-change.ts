// One change of a user: of the password, the flags and the profile together, in one transaction.

import { invalid } from "../errors.ts";
import type { Transaction } from "../models/database.ts";
import { updateOwner, type Visibility } from "../models/owner.ts";
import { listUsers, updateUser, type UserWithOwner } from "../models/user.ts";
import type { Actor } from "./actor.ts";
import { recordAudit, type AuditAction } from "./audit.ts";

/** What is undefined stays as it is. */
export type UserChange = {
  /** Also invalidates every existing token of the user. */
  readonly password?: string | undefined;
  readonly mustChangePassword?: boolean | undefined;
  readonly disabled?: boolean | undefined;
  readonly hidden?: boolean | undefined;
  readonly isAdmin?: boolean | undefined;
  readonly displayName?: string | undefined;
  readonly email?: string | undefined;
  readonly visibility?: Visibility | undefined;
};

type Applied = Omit<UserChange, "password"> & { readonly passwordHash: string | undefined };

/** Errors: `invalid` when no enabled administrator would be left. */
export async function applyUserChange(
  tx: Transaction,
  { actor, user, at }: { readonly actor: Actor; readonly user: UserWithOwner; readonly at: number },
  change: Applied,
): Promise<void> {
  const { passwordHash, mustChangePassword, disabled, hidden, isAdmin, displayName, email, visibility } = change;
  if (disabled === true || isAdmin === false) await requireOtherAdministrator(tx, user);
  if ([disabled, hidden, displayName, visibility].some((value) => value !== undefined))
    await updateOwner(tx, user.ownerId, { disabled, hidden, displayName, visibility });
  const secret = passwordHash === undefined ? {} : secretOf(user, passwordHash);
  const mustChange = mustChangePassword === undefined ? {} : { mustChangePassword };
  const values = { ...secret, ...mustChange, isAdmin, email };
  if (Object.values(values).some((value) => value !== undefined)) await updateUser(tx, user.id, values);
  const record = (action: AuditAction, detail: Readonly<Record<string, unknown>> = {}): Promise<void> =>
    recordAudit(tx, actor, { at, action, owner: user.owner, detail });
  if (passwordHash !== undefined) await record("user.password");
  if (disabled !== undefined) await record(disabled ? "user.disable" : "user.enable");
  if (hidden !== undefined) await record(hidden ? "user.hide" : "user.unhide");
  const settings = { admin: isAdmin, displayName, email, visibility, ...mustChange };
  if (Object.values(settings).some((value) => value !== undefined)) await record("user.settings", settings);
}

function secretOf({ credentialVersion }: UserWithOwner, passwordHash: string) {
  return { passwordHash, credentialVersion: credentialVersion + 1, mustChangePassword: false };
}

/** A server without an enabled administrator could not be managed. Errors: `invalid`. */
export async function requireOtherAdministrator(tx: Transaction, leaving: UserWithOwner): Promise<void> {
  if (!leaving.isAdmin) return;
  const users = await listUsers(tx);
  const others = users.filter((user) => user.isAdmin && !user.owner.disabled && user.id !== leaving.id);
  if (others.length === 0) throw invalid(`${leaving.owner.name} is the only administrator left.`);
}
