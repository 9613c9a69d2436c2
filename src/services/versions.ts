// Versions of packages: listed for an owner, shown with their files, and deleted.

import { invalid, notFound } from "../errors.ts";
import { deleteFiles } from "../models/channel-contents.ts";
import { channelsAfter, type ChannelWithOwner } from "../models/channel.ts";
import type { Database, Reader, Transaction } from "../models/database.ts";
import { lockChannel } from "../models/locks.ts";
import {
  countVersions,
  filesOfVersion,
  findVersion,
  pageOfVersions,
  type ListedVersion,
  type VersionFile,
} from "../models/version-list.ts";
import type { Clock } from "../modules/clock.ts";
import { foldCase } from "../modules/fold-case.ts";
import type { Access } from "./access.ts";
import type { Actor } from "./actor.ts";
import { recordAudit, type AuditEvent } from "./audit.ts";
import { reviseNames } from "./changed-names.ts";
import { refuseQuarantined } from "./file-quarantine.ts";
import type { ChannelRef, OneChannel } from "./channel-ref.ts";
import { readableChannels } from "./channels.ts";

export type VersionInfo = {
  readonly id: number;
  readonly type: string;
  readonly owner: string;
  readonly channel: string;
  readonly name: string;
  readonly version: string;
  /** ms UTC */
  readonly created: number;
};

/** `section` of a conda package: its subdir. */
export type VersionFileInfo = Pick<VersionFile, "id" | "section" | "fileName" | "size" | "md5" | "sha256">;

export type VersionRef = { readonly channel: OneChannel; readonly name: string; readonly version: string };

export type VersionQuery = {
  readonly owner: string;
  readonly type: string;
  readonly text: string | undefined;
  readonly offset: number;
  readonly limit: number;
};

/** Errors of all: those of `Access.require()`. */
export type Versions = {
  /** Those in channels that the actor can read; the first 10,000 of them. */
  list(actor: Actor, query: VersionQuery): Promise<{ readonly items: VersionInfo[]; readonly total: number }>;
  /** Errors: `not-found`. */
  show(actor: Actor, ref: VersionRef): Promise<VersionInfo>;
  files(actor: Actor, ref: VersionRef): Promise<VersionFileInfo[]>;
  /** Deletes all files of the version as one change. Errors: `not-found`, `invalid` for too many files. */
  remove(actor: Actor, ref: VersionRef): Promise<void>;
};

export type VersionsParts = { readonly database: Database; readonly access: Access; readonly clock: Clock };

/** Channels of an owner whose rights a list checks, versions that it counts, and files of one change. */
const MOST_CHANNELS = 1000;
const MOST_VERSIONS = 10_000;
const MOST_FILES = 10_000;

export function createVersions(parts: VersionsParts): Versions {
  const { database, access } = parts;
  const read = async (actor: Actor, { channel, ...ref }: VersionRef) =>
    await requireVersion(database.read, await access.require(actor, "read", { kind: "channel", ...channel }), ref);
  return {
    list: (actor, query) => list(parts, actor, query),
    show: async (actor, ref) => {
      const { version, of } = await read(actor, ref);
      return infoOf(version, of);
    },
    files: async (actor, ref) => {
      const { version } = await read(actor, ref);
      return await filesOfVersion(database.read, version.id, MOST_FILES);
    },
    remove: async (actor, { channel: name, ...ref }) => {
      const target = { kind: "channel", ...name, packageName: ref.name } as const;
      const from = await access.require(actor, "delete", target);
      const change = async (tx: Transaction): Promise<void> => {
        const found = await access.require(actor, "delete", target, tx);
        if (found.channel && found.channel.id !== from.channel?.id) await lockChannel(tx, found.channel.id);
        const version = await requireVersion(tx, found, ref);
        // The name in the address can have other letters than the package, which the token is bound to.
        await access.require(actor, "delete", { ...target, packageName: version.version.name }, tx);
        await remove(tx, parts, actor, version);
      };
      await database.transact(change, { evenIfFull: true, channels: from.channel && [from.channel.id] });
    },
  };
}

type Found = { readonly version: ListedVersion; readonly of: ChannelWithOwner };

async function requireVersion(
  reader: Reader,
  { owner, channel }: ChannelRef,
  { name, version: text }: Pick<VersionRef, "name" | "version">,
): Promise<Found> {
  const version = channel && (await findVersion(reader, { channelId: channel.id, name, version: text }));
  if (!version) throw notFound("There is no such package or version in this channel.");
  return { version, of: { ...channel, owner } };
}

async function list({ database, access }: VersionsParts, actor: Actor, query: VersionQuery) {
  const { text, offset, limit } = query;
  const owner = foldCase(query.owner);
  const rows = await channelsAfter(database.read, { after: undefined, owner, text: undefined, limit: MOST_CHANNELS });
  const readable: ChannelWithOwner[] = [];
  const ofType = rows.filter(({ type }) => type === query.type);
  for await (const row of readableChannels(access, actor, ofType)) readable.push(row);
  // Who can read nothing there learns only what everyone learns who can see the owner.
  if (readable.length === 0) {
    await access.require(actor, "view", { kind: "owner", owner });
    return { items: [], total: 0 };
  }
  const byId = new Map(readable.map((row) => [row.id, row]));
  const filter = { channelIds: [...byId.keys()], text };
  const page = { offset: Math.min(offset, MOST_VERSIONS), limit: Math.min(limit, Math.max(0, MOST_VERSIONS - offset)) };
  const items: VersionInfo[] = [];
  for (const version of await pageOfVersions(database.read, filter, page)) {
    const of = byId.get(version.channelId);
    if (of) items.push(infoOf(version, of));
  }
  return { items, total: await countVersions(database.read, filter, MOST_VERSIONS) };
}

/** One revision: readers see all files of the version, or none. */
async function remove(
  tx: Transaction,
  { clock }: VersionsParts,
  actor: Actor,
  { version, of: channel }: Found,
): Promise<void> {
  const files = await filesOfVersion(tx, version.id, MOST_FILES + 1);
  if (files.length > MOST_FILES)
    throw invalid(`This version has more than ${MOST_FILES} files, the limit of one change. Delete some one by one.`);
  refuseQuarantined(files, "cannot be deleted");
  const at = clock.now();
  await deleteFiles(tx, files, at);
  const revision = await reviseNames(tx, { channelId: channel.id, files, actor, at });
  const events = files.map(({ section, fileName, sha256 }): AuditEvent => {
    const subject = `${section}/${fileName}`;
    return { at, action: "delete", owner: channel.owner, channel, subject, detail: { sha256, revision } };
  });
  await recordAudit(tx, actor, ...events);
}

function infoOf({ id, name, version, created }: ListedVersion, channel: ChannelWithOwner): VersionInfo {
  return { id, type: channel.type, owner: channel.owner.name, channel: channel.name, name, version, created };
}
