// Deletes a channel with everything in it. Large channels are deleted in steps, so that no other change waits for long:
// each step is one revision, so readers see a consistent channel that shrinks, until the last step deletes the channel.

import { conflict, notFound } from "../errors.ts";
import { listTokens } from "../models/access-token.ts";
import {
  countContents,
  deleteFiles,
  deleteRevisions,
  firstFiles,
  type ChannelFile,
  type ContentTotals,
} from "../models/channel-contents.ts";
import { deleteChannel, type ChannelRow } from "../models/channel.ts";
import type { Database, Reader, Transaction } from "../models/database.ts";
import { lockChannel } from "../models/locks.ts";
import { listGrants } from "../models/grant.ts";
import { deleteIndexParts } from "../models/index-part.ts";
import { countFiles } from "../models/package-file.ts";
import { anyQuarantined } from "../models/quarantine.ts";
import { findUserById } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import type { Access } from "./access.ts";
import type { Actor } from "./actor.ts";
import { recordAudit } from "./audit.ts";
import { reviseNames } from "./changed-names.ts";
import { channelLabel, type ChannelRef, type OneChannel } from "./channel-ref.ts";
import { tokenLimits } from "./token-limits.ts";

export type { ContentTotals } from "../models/channel-contents.ts";

export type ChannelContents = ContentTotals & {
  /** Number of users with a role on this channel itself. */
  readonly roles: number;
  /** Unrevoked tokens that are valid for this channel only. */
  readonly tokens: readonly { readonly user: string; readonly name: string }[];
};

export type RemovalOptions = {
  /** Also deletes the files of the channel; without it, a channel with files is refused. */
  readonly withFiles?: boolean | undefined;
  readonly onProgress?: ((done: number, total: number, what: string) => void) | undefined;
};

export type ChannelRemoval = {
  contents(actor: Actor, name: OneChannel): Promise<ChannelContents>;
  /** Files that arrive meanwhile are deleted too. Errors: `conflict` while it contains files, or a quarantined one. */
  remove(actor: Actor, name: OneChannel, options?: RemovalOptions): Promise<ContentTotals>;
};

export type ChannelRemovalParts = { readonly database: Database; readonly access: Access; readonly clock: Clock };

/** Limits of one step, about a tenth of a second. */
const FILES = 500;
const ROW_BYTES = 16 * 1024 ** 2;
const REVISIONS = 10_000;
/** Twice as long as a writer of another process waits between two attempts to get the lock. */
const PAUSE_MS = 50;

export function createChannelRemoval(parts: ChannelRemovalParts): ChannelRemoval {
  const { database, access } = parts;
  return {
    contents: async (actor, name) => {
      const ref = await access.require(actor, "manage", { kind: "channel", ...name }, database.read);
      const channel = requireChannel(ref);
      const totals = await countContents(database.read, channel.id);
      const grants = await listGrants(database.read, { kind: "channel", channelId: channel.id });
      return { ...totals, roles: grants.length, tokens: await tokensOf(database.read, labelOf(ref)) };
    },
    remove: async (actor, name, { withFiles = false, onProgress } = {}) => {
      let removed: Removed = { packages: 0, files: 0, bytes: 0 };
      for (;;) {
        const step = (tx: Transaction): Promise<Step> => takeStep(tx, parts, { actor, name, withFiles, removed });
        const { isLast, ...totals } = await database.transact(step, { evenIfFull: true });
        removed = totals;
        if (isLast) return { packages: totals.packages, files: totals.files, bytes: totals.bytes };
        onProgress?.(totals.files, Math.max(totals.files, totals.atFirst), "files");
        await Bun.sleep(PAUSE_MS);
      }
    },
  };
}

/** What the steps have removed so far; `channelId` and the number of files `atFirst` are known from the first step on. */
type Removed = ContentTotals & { readonly channelId?: number; readonly atFirst?: number };
type Step = ContentTotals & { readonly channelId: number; readonly atFirst: number; readonly isLast: boolean };
type Task = {
  readonly actor: Actor;
  readonly name: OneChannel;
  readonly withFiles: boolean;
  readonly removed: Removed;
};

async function takeStep(tx: Transaction, parts: ChannelRemovalParts, task: Task): Promise<Step> {
  const { actor, name, withFiles, removed } = task;
  const ref = await parts.access.require(actor, "manage", { kind: "channel", ...name }, tx);
  const channel = requireChannel(ref);
  const channelId = channel.id;
  await lockChannel(tx, channelId);
  if (removed.channelId !== undefined && removed.channelId !== channelId)
    throw notFound(`${labelOf(ref)} was deleted by someone else meanwhile, and created again.`);
  const atFirst = removed.atFirst ?? (await countFiles(tx, channelId));
  const files = await firstFiles(tx, channelId, FILES);
  if (files.length > 0) {
    if (!withFiles) throw conflict(`The channel still contains ${atFirst} file(s). Delete them first.`);
    const held = await anyQuarantined(tx, channelId);
    if (held !== undefined)
      throw conflict(`${held} is quarantined, so the channel cannot be deleted. Release it first.`);
    const page = await deletePage(tx, parts, { ref, channel, actor, files: withinBytes(files) });
    return { ...sumOf(removed, page), channelId, atFirst, isLast: false };
  }
  const totals = sumOf(removed, { packages: 0, files: 0, bytes: 0 });
  const older = await deleteRevisions(tx, channelId, { before: channel.revision, limit: REVISIONS });
  if (older === REVISIONS) return { ...totals, channelId, atFirst, isLast: false };
  await deleteIndexParts(tx, channelId);
  await deleteChannel(tx, channelId);
  const detail = totals.files > 0 ? totals : {};
  const event = { at: parts.clock.now(), action: "channel.delete", owner: ref.owner, channel, detail } as const;
  await recordAudit(tx, actor, event);
  return { ...totals, channelId, atFirst, isLast: true };
}

function sumOf(one: ContentTotals, other: ContentTotals): ContentTotals {
  return {
    packages: one.packages + other.packages,
    files: one.files + other.files,
    bytes: one.bytes + other.bytes,
  };
}

/** At least one file, and further ones while their rows together stay within the limit. */
function withinBytes(files: readonly ChannelFile[]): readonly ChannelFile[] {
  let bytes = 0;
  const end = files.findIndex(({ rowBytes }) => (bytes += rowBytes) > ROW_BYTES);
  return end < 0 ? files : files.slice(0, Math.max(1, end));
}

type Page = {
  readonly ref: ChannelRef;
  readonly channel: ChannelRow;
  readonly actor: Actor;
  readonly files: readonly ChannelFile[];
};

/** One revision. The audit row makes up for a removal that is interrupted before its last step. */
async function deletePage(
  tx: Transaction,
  { clock }: ChannelRemovalParts,
  { ref, channel, actor, files }: Page,
): Promise<ContentTotals> {
  const at = clock.now();
  const channelId = channel.id;
  await lockChannel(tx, channelId);
  const packages = await deleteFiles(tx, files, at);
  const revision = await reviseNames(tx, { channelId, files, actor, at });
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const detail = { packages, files: files.length, bytes, revision };
  await recordAudit(tx, actor, { at, action: "delete", owner: ref.owner, channel, detail });
  return { packages, files: files.length, bytes };
}

async function tokensOf(reader: Reader, label: string): Promise<{ user: string; name: string }[]> {
  const bound: { user: string; name: string }[] = [];
  for (const row of await listTokens(reader)) {
    const { channels, name } = tokenLimits(row);
    const isOnly = channels.length > 0 && channels.every((pattern) => pattern === label);
    if (row.revoked !== null || !isOnly) continue;
    const user = await findUserById(reader, row.userId);
    if (user) bound.push({ user: user.owner.name, name });
  }
  return bound;
}

function requireChannel(ref: ChannelRef): ChannelRow {
  if (!ref.channel) throw notFound(`${labelOf(ref)} is empty: there is nothing to delete.`);
  return ref.channel;
}

function labelOf(ref: ChannelRef): string {
  return channelLabel(ref.owner.name, ref.name, ref.type);
}
