// The audit trail: one row per change, written in the transaction of the change.

import { insertAuditEvents, type NewAuditEvent } from "../models/audit-event.ts";
import type { ChannelRow } from "../models/channel.ts";
import type { Transaction } from "../models/database.ts";
import type { OwnerRow } from "../models/owner.ts";
import { withoutTokens } from "../modules/log.ts";
import { tokenOf, userOf, type Actor } from "./actor.ts";
import { channelLabel } from "./channel-ref.ts";

/** Changes of files have the names of a channel's events; other changes are named `object.verb`. */
export const AUDIT_ACTIONS = [
  ...(["publish", "delete", "yank", "unyank", "quarantine", "release"] as const),
  ...(["user.create", "user.delete", "user.disable", "user.enable", "user.hide", "user.unhide"] as const),
  ...(["user.unlock", "user.password", "user.rename", "user.settings", "token.create", "token.revoke"] as const),
  ...(["two-factor.enable", "two-factor.disable", "two-factor.reset", "two-factor.recovery"] as const),
  ...(["organization.create", "organization.delete", "organization.settings", "organization.rename"] as const),
  ...(["team.create", "team.delete", "team.settings", "team.add", "team.remove", "member.remove"] as const),
  ...(["robot.create", "robot.delete", "name.release"] as const),
  ...(["channel.create", "channel.delete", "channel.settings", "owner.settings"] as const),
  ...(["channel.offer", "channel.withdraw", "channel.transfer"] as const),
  ...(["grant.set", "grant.revoke"] as const),
] as const;

export type AuditAction = (typeof AUDIT_ACTIONS)[number];

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

/** Many events take few statements. */
export async function recordAudit(tx: Transaction, actor: Actor, ...events: readonly AuditEvent[]): Promise<void> {
  await insertAuditEvents(
    tx,
    events.map((event) => rowOf(actor, event)),
  );
}

/** A token that was typed into the wrong place is stored nowhere. */
function rowOf(actor: Actor, { at, action, owner, channel, subject, detail = {} }: AuditEvent): NewAuditEvent {
  const label = channel ? channelLabel(owner.name, channel.name, channel.type) : owner.name;
  return {
    at,
    ...whoIs(actor),
    action,
    ownerId: owner.id,
    channelId: channel?.id ?? null,
    target: withoutTokens(subject === undefined ? label : `${label}/${subject}`),
    subject: withoutTokens(subject ?? label),
    outcome: "done",
    detail: withoutTokens(JSON.stringify(detail)),
  };
}

/** The columns that say who has done something, in which request, from which address. */
export function whoIs(actor: Actor): Pick<NewAuditEvent, "actor" | "actorId" | "tokenId" | "requestId" | "address"> {
  return {
    actor: nameOf(actor),
    actorId: userOf(actor)?.id ?? null,
    tokenId: tokenOf(actor)?.id ?? null,
    requestId: actor.kind === "request" ? actor.requestId : null,
    address: actor.kind === "request" ? actor.address : null,
  };
}

function nameOf(actor: Actor): string {
  if (actor.kind === "command-line") return "command line";
  const token = tokenOf(actor);
  const user = userOf(actor)?.owner.name ?? "anonymous";
  return token ? `${user} (token ${token.name})` : user;
}
