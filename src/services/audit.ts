// The audit trail: one row per change, written in the transaction of the change.

import { insertAuditEvent } from "../models/audit-event.ts";
import type { ChannelRow } from "../models/channel.ts";
import type { Transaction } from "../models/database.ts";
import type { OwnerRow } from "../models/owner.ts";
import { tokenOf, userOf, type Actor } from "./actor.ts";
import { channelLabel } from "./channel-ref.ts";

/** Changes of files have the names of a channel's events; other changes are named `object.verb`. */
export type AuditAction =
  | "publish"
  | "delete"
  | "yank"
  | "unyank"
  | "quarantine"
  | "release"
  | `user.${"create" | "delete" | "disable" | "enable" | "hide" | "unhide" | "unlock" | "password" | "rename" | "settings"}`
  | `token.${"create" | "revoke"}`
  | `channel.${"create" | "delete" | "settings" | "offer" | "withdraw" | "transfer"}`
  | "owner.settings"
  | `organization.${"create" | "delete" | "settings" | "rename"}`
  | `team.${"create" | "delete" | "settings" | "add" | "remove"}`
  | "member.remove"
  | `robot.${"create" | "delete"}`
  | "name.release"
  | `grant.${"set" | "revoke"}`;

export type AuditEvent = {
  readonly at: number;
  readonly action: AuditAction;
  /** The owner that the change concerns. */
  readonly owner: Pick<OwnerRow, "id" | "name">;
  readonly channel?: Pick<ChannelRow, "id" | "name" | "type"> | undefined;
  /** What changed within the channel or the owner: a file, a token. */
  readonly subject?: string;
  readonly detail?: Readonly<Record<string, unknown>>;
};

export async function recordAudit(tx: Transaction, actor: Actor, event: AuditEvent): Promise<void> {
  const { at, action, owner, channel, subject, detail = {} } = event;
  const label = channel ? channelLabel(owner.name, channel.name, channel.type) : owner.name;
  await insertAuditEvent(tx, {
    at,
    actor: nameOf(actor),
    actorId: userOf(actor)?.id ?? null,
    tokenId: tokenOf(actor)?.id ?? null,
    action,
    ownerId: owner.id,
    channelId: channel?.id ?? null,
    target: subject === undefined ? label : `${label}/${subject}`,
    subject: subject ?? label,
    outcome: "done",
    detail: JSON.stringify(detail),
    requestId: actor.kind === "request" ? actor.requestId : null,
    address: actor.kind === "request" ? actor.address : null,
  });
}

function nameOf(actor: Actor): string {
  if (actor.kind === "command-line") return "command line";
  const token = tokenOf(actor);
  const user = userOf(actor)?.owner.name ?? "anonymous";
  return token ? `${user} (token ${token.name})` : user;
}
