// Quarantines and releases files: one of a channel, or all with some bytes or that someone has published, in every
// channel. Nobody can read, replace, delete or publish again what is quarantined.

import { AppError, conflict, forbidden, invalidArgument, notFound } from "../errors.ts";
import { findChannels, listChannels } from "../models/channel.ts";
import type { Database, Reader, Transaction } from "../models/database.ts";
import { lockChannel } from "../models/locks.ts";
import { findFile } from "../models/package-file.ts";
import { blobsPublished, filesOfBlobs, greatestFileId, quarantinedIn, type Published } from "../models/quarantine.ts";
import { findUser } from "../models/user.ts";
import type { Clock } from "../modules/clock.ts";
import type { Access } from "./access.ts";
import type { Actor } from "./actor.ts";
import { channelLabel, type OneChannel } from "./channel-ref.ts";
import { changeQuarantine, concerns, quarantineOf, type QuarantineChange } from "./file-quarantine.ts";

export type FileAddress = { readonly channel: OneChannel; readonly section: string; readonly fileName: string };

/** Exactly one of `token`, `user` and `sha256`: the files published so, and all others with the same bytes. */
export type FileSelector = {
  /** The id of an access token. */
  readonly token?: number | undefined;
  /** The name of a user: everything published with its password or its tokens. */
  readonly user?: string | undefined;
  readonly sha256?: string | undefined;
  /** ms UTC: only what was published then or later. */
  readonly since?: number | undefined;
};

export type ChangedChannel = {
  readonly channel: string;
  readonly files: number;
  /** Null for a dry run. */
  readonly revision: number | null;
};

export type HeldFile = {
  readonly channel: string;
  readonly subdir: string;
  readonly file: string;
  readonly sha256: string;
  readonly reason: string;
  readonly scope: "server" | "channel";
  /** ms UTC; 0 when it is not known. */
  readonly since: number;
};
export type HeldKey = { readonly channel: number; readonly file: number };

/** Errors of all: those of `Access.require()`. */
export type Quarantines = {
  /**
   * By an administrator it is for these bytes in every channel, by a maintainer for this channel.
   * Errors: `not-found`, `conflict` when it is quarantined already, `invalid-argument` for an unusable reason.
   */
  quarantine(actor: Actor, file: FileAddress, reason: string): Promise<{ readonly revision: number }>;
  /** Errors: `not-found`, `conflict` when it is not quarantined, `forbidden` when an administrator quarantined it. */
  release(actor: Actor, file: FileAddress): Promise<{ readonly revision: number }>;
  /**
   * For administrators. One revision for each channel; channels are changed in the order of their ids, in transactions of
   * at most `FILES`. After an interruption, call it again: what is done already is skipped.
   * Errors: `invalid-argument`, `not-found` for an unknown user, `unprocessable` when a channel has more than `FILES`.
   */
  quarantineAll(
    actor: Actor,
    selector: FileSelector,
    options: ManyOptions & { readonly reason: string },
  ): Promise<Many>;
  releaseAll(actor: Actor, selector: FileSelector, options: ManyOptions): Promise<Many>;
  /** For administrators: the quarantined files, by channel. */
  list(
    actor: Actor,
    page: { readonly after?: HeldKey | undefined; readonly limit: number },
  ): Promise<{ readonly items: readonly HeldFile[]; readonly next: HeldKey | undefined }>;
};
type ManyOptions = { readonly dryRun: boolean };
type Many = readonly ChangedChannel[];

export type QuarantinesParts = {
  readonly database: Database;
  readonly access: Access;
  readonly clock: Clock;
};

/** Limit of one change, and of one transaction: other writers wait until it has committed. */
const FILES = 10_000;
const CHANNELS = 50;
/** Files whose publisher is looked at per query, and blobs whose files are. */
const WINDOW = 5000;
const BLOBS = 500;
/** Different contents of one change, which are in memory. */
const MOST_BLOBS = 500_000;
/** Copies that were published meanwhile are found by another search. */
const SEARCHES = 5;
const LONGEST_REASON = 1000;
const SERVER = { kind: "server" } as const;

export function createQuarantines(parts: QuarantinesParts): Quarantines {
  return {
    quarantine: (actor, file, reason) => changeOne(parts, actor, file, checkedReason(reason)),
    release: (actor, file) => changeOne(parts, actor, file, undefined),
    quarantineAll: (actor, selector, { reason, dryRun }) => {
      const change = { kind: "quarantine", reason: checkedReason(reason), scope: "server" } as const;
      return changeAll(parts, { actor, selector, change, dryRun });
    },
    releaseAll: (actor, selector, { dryRun }) =>
      changeAll(parts, { actor, selector, change: { kind: "release" }, dryRun }),
    list: (actor, page) => list(parts, actor, page),
  };
}

/** Everyone who tries to download the file reads it. Errors: `invalid-argument`. */
function checkedReason(text: string): string {
  const reason = text.trim();
  if (reason !== "" && reason.length <= LONGEST_REASON && !/\p{Cc}/u.test(reason)) return reason;
  throw invalidArgument(`A reason has 1 to ${LONGEST_REASON} characters in one line.`);
}

/** Without a reason, the file is released. */
async function changeOne(
  { database, access, clock }: QuarantinesParts,
  actor: Actor,
  { channel: name, section, fileName }: FileAddress,
  reason: string | undefined,
): Promise<{ readonly revision: number }> {
  const target = { kind: "channel", ...name } as const;
  const from = await access.require(actor, "quarantine", target);
  const work = async (tx: Transaction): Promise<{ readonly revision: number }> => {
    const { owner, channel } = await access.require(actor, "quarantine", target, tx);
    if (channel && channel.id !== from.channel?.id) await lockChannel(tx, channel.id);
    const file = channel && (await findFile(tx, { channelId: channel.id, section, fileName }));
    if (!channel || !file) throw notFound(`There is no ${section}/${fileName} in this channel.`);
    await access.require(actor, "quarantine", { ...target, packageName: file.packageName }, tx);
    const isAdministrator = await access.mayAdminister(actor, tx);
    if (reason === undefined && quarantineOf(file)?.scope === "server" && !isAdministrator)
      throw forbidden(`An administrator quarantined ${section}/${fileName}: only an administrator can release it.`);
    const scope = isAdministrator ? "server" : "channel";
    const change =
      reason === undefined ? ({ kind: "release" } as const) : ({ kind: "quarantine", reason, scope } as const);
    const unit = { to: { owner, channel }, ids: [file.id], change, actor, at: clock.now() };
    const done = await changeQuarantine(tx, unit);
    if (!done) throw conflict(`${section}/${fileName} is ${reason === undefined ? "not" : "already"} quarantined.`);
    return { revision: done.revision };
  };
  return await database.transact(work, { channels: from.channel && [from.channel.id] });
}

type Task = {
  readonly actor: Actor;
  readonly selector: FileSelector;
  readonly change: QuarantineChange;
  readonly dryRun: boolean;
};

async function changeAll(parts: QuarantinesParts, task: Task): Promise<Many> {
  const { database, access } = parts;
  await access.require(task.actor, "administer", SERVER, database.read);
  const by = await publishedBy(database.read, task.selector);
  const changed: ChangedChannel[] = [];
  for (let search = 0; search < SEARCHES; search += 1) {
    const plan = await planOf(parts, by, task);
    if (plan.length === 0) break;
    if (task.dryRun) return plan.map(({ channel, ids }) => ({ channel, files: ids.length, revision: null }));
    for (const group of groupsOf(plan)) changed.push(...(await changeGroup(parts, task, group)));
  }
  return changed;
}

/** Errors: `invalid-argument`, `not-found`. */
async function publishedBy(reader: Reader, { token, user, sha256 }: FileSelector): Promise<Published> {
  if ([token, user, sha256].filter((one) => one !== undefined).length !== 1)
    throw invalidArgument("Select the files by exactly one of token, user and sha256.");
  if (token !== undefined) return { kind: "token", tokenId: token };
  if (sha256 !== undefined) {
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw invalidArgument("A sha256 has 64 digits from 0 to 9 and a to f.");
    return { kind: "sha256", sha256 };
  }
  const found = await findUser(reader, user ?? "");
  if (!found) throw notFound(`There is no user ${user}. Files of a deleted user are found by the ids of its tokens.`);
  return { kind: "user", userId: found.id };
}

type Planned = { readonly channelId: number; readonly channel: string; readonly ids: readonly number[] };

/** The files to change, by the ids of their channels. Errors: `unprocessable`. */
async function planOf({ database }: QuarantinesParts, by: Published, { selector, change }: Task): Promise<Planned[]> {
  const reader = database.read;
  const blobIds = [...(await blobsOf(reader, by, selector.since ?? 0))];
  const byChannel = new Map<number, number[]>();
  for (let at = 0; at < blobIds.length; at += BLOBS) {
    for (const file of await filesOfBlobs(reader, blobIds.slice(at, at + BLOBS))) {
      if (!concerns(file, change)) continue;
      const ids = byChannel.get(file.channelId) ?? [];
      byChannel.set(file.channelId, ids);
      ids.push(file.id);
    }
    await Bun.sleep(0);
  }
  if (byChannel.size === 0) return [];
  const channels = (await listChannels(reader)).filter(({ id }) => byChannel.has(id));
  const plan = channels.map(({ id, owner, name, type }) => ({
    channelId: id,
    channel: channelLabel(owner.name, name, type),
    ids: byChannel.get(id) ?? [],
  }));
  for (const { channel, ids } of plan) if (ids.length > FILES) throw tooMany(channel, ids.length, FILES);
  return plan.toSorted((a, b) => a.channelId - b.channelId);
}

/** Looks at all files in steps: between two, other requests have their turn. */
async function blobsOf(reader: Reader, by: Published, since: number): Promise<Set<number>> {
  const blobIds = new Set<number>();
  const last = await greatestFileId(reader);
  const step = by.kind === "sha256" ? last : WINDOW;
  for (let after = 0; after < last; after += step) {
    for (const id of await blobsPublished(reader, by, { after, through: after + step, since })) blobIds.add(id);
    if (blobIds.size > MOST_BLOBS) throw tooMany("The server", blobIds.size, MOST_BLOBS);
    await Bun.sleep(0);
  }
  return blobIds;
}

function tooMany(where: string, files: number, limit: number): AppError {
  const message =
    `${where} has ${files} such files, and one change has at most ${limit}. Nothing was changed. Narrow it by since: ` +
    "begin with the latest files, then repeat it with earlier times, as what is done does not count again.";
  return new AppError("unprocessable", message, { members: { files, limit } });
}

function groupsOf(plan: readonly Planned[]): Planned[][] {
  const groups: Planned[][] = [];
  let files = 0;
  for (const planned of plan) {
    const group = groups.at(-1);
    files += planned.ids.length;
    if (group && group.length < CHANNELS && files <= FILES) group.push(planned);
    else {
      groups.push([planned]);
      files = planned.ids.length;
    }
  }
  return groups;
}

async function changeGroup(
  { database, access, clock }: QuarantinesParts,
  { actor, change }: Task,
  group: readonly Planned[],
): Promise<ChangedChannel[]> {
  const channels = group.map(({ channelId }) => channelId);
  const work = async (tx: Transaction): Promise<ChangedChannel[]> => {
    await access.require(actor, "administer", SERVER, tx);
    const at = clock.now();
    const rows = new Map((await findChannels(tx, channels)).map((row) => [row.id, row]));
    const changed: ChangedChannel[] = [];
    for (const { channelId, channel, ids } of group) {
      const row = rows.get(channelId);
      const done =
        row && (await changeQuarantine(tx, { to: { owner: row.owner, channel: row }, ids, change, actor, at }));
      if (done) changed.push({ channel, ...done });
    }
    return changed;
  };
  return await database.transact(work, { channels });
}

async function list(
  { database, access }: QuarantinesParts,
  actor: Actor,
  { after = { channel: 0, file: 0 }, limit }: { readonly after?: HeldKey | undefined; readonly limit: number },
): Promise<{ readonly items: readonly HeldFile[]; readonly next: HeldKey | undefined }> {
  await access.require(actor, "administer", SERVER, database.read);
  const items: HeldFile[] = [];
  const channels = (await listChannels(database.read)).filter(({ id }) => id >= after.channel);
  let next: HeldKey | undefined;
  for (const { id, owner, name, type } of channels.toSorted((a, b) => a.id - b.id)) {
    const range = { after: id === after.channel ? after.file : 0, limit: limit - items.length + 1 };
    for (const file of await quarantinedIn(database.read, id, range)) {
      if (items.length === limit) return { items, next };
      const { reason, scope, since } = quarantineOf(file) ?? { reason: "", scope: "server", since: 0 };
      const { section, fileName, sha256 } = file;
      const channel = channelLabel(owner.name, name, type);
      items.push({ channel, subdir: section, file: fileName, sha256, reason, scope, since });
      next = { channel: id, file: file.id };
    }
  }
  return { items, next: undefined };
}
