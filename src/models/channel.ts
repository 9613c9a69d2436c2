// Channels and their revisions: each revision records when the documents of a channel changed, and by whom.

import { and, asc, desc, eq, gt, inArray, ne, sql } from "drizzle-orm";
import { foldCase } from "../modules/fold-case.ts";
import { contains } from "./contains.ts";
import type { Reader, Transaction } from "./database.ts";
import type { OwnerRow } from "./owner.ts";
import { param, placeholders, prepared } from "./prepared.ts";
import { requireRow } from "./rows.ts";
import { channel, channelRevision, formerAddress, owner } from "./schema/index.ts";

export type ChannelRow = typeof channel.$inferSelect;
export type ChannelWithOwner = ChannelRow & { readonly owner: OwnerRow };
export type RevisionRow = typeof channelRevision.$inferSelect;

const channelByName = prepared("channelByName", (reader) =>
  reader
    .select()
    .from(channel)
    .where(and(eq(channel.ownerId, param("ownerId")), eq(channel.type, param("type")), eq(channel.name, param("name"))))
    .limit(1),
);

const ownerWithChannel = prepared("ownerWithChannel", (reader) =>
  reader
    .select({ owner, channel })
    .from(owner)
    .leftJoin(
      channel,
      and(eq(channel.ownerId, owner.id), eq(channel.type, param("type")), eq(channel.name, param("name"))),
    )
    .where(and(eq(owner.name, param("owner")), ne(owner.kind, "robot")))
    .limit(1),
);

/** One query whether the owner, the channel or none of them exists, so that its time tells nothing. */
export async function findOwnerWithChannel(
  reader: Reader,
  key: { readonly owner: string; readonly type: string; readonly name: string },
): Promise<{ readonly owner: OwnerRow; readonly channel: ChannelRow | undefined } | undefined> {
  const [row] = await ownerWithChannel(reader).execute({ ...key, owner: foldCase(key.owner) });
  return row && { owner: row.owner, channel: row.channel ?? undefined };
}

export async function findChannel(
  reader: Reader,
  ownerId: number,
  type: string,
  name: string,
): Promise<ChannelRow | undefined> {
  const rows = await channelByName(reader).execute({ ownerId, type, name });
  return rows[0];
}

const formerAt = prepared("formerAt", (reader) =>
  reader
    .select({ channel, owner })
    .from(formerAddress)
    .innerJoin(channel, eq(channel.id, formerAddress.channelId))
    .innerJoin(owner, eq(owner.id, channel.ownerId))
    .where(
      and(
        inArray(
          formerAddress.ownerId,
          reader
            .select({ id: owner.id })
            .from(owner)
            .where(eq(owner.name, param("owner"))),
        ),
        eq(formerAddress.type, param("type")),
        eq(formerAddress.name, param("name")),
        gt(formerAddress.since, param("since")),
      ),
    )
    .limit(1),
);

/** The channel that had the address until a transfer after `since` (ms UTC). */
export async function findFormerAt(
  reader: Reader,
  address: { readonly owner: string; readonly type: string; readonly name: string; readonly since: number },
): Promise<ChannelWithOwner | undefined> {
  const [row] = await formerAt(reader).execute({ ...address, owner: foldCase(address.owner) });
  return row && { ...row.channel, owner: row.owner };
}

export async function listChannels(reader: Reader, ownerId?: number): Promise<ChannelWithOwner[]> {
  const rows = await reader
    .select({ channel, owner })
    .from(channel)
    .innerJoin(owner, eq(channel.ownerId, owner.id))
    .where(ownerId === undefined ? undefined : eq(channel.ownerId, ownerId))
    .orderBy(asc(owner.name), asc(channel.name));
  return rows.map((row) => ({ ...row.channel, owner: row.owner }));
}

/** These channels, without those that do not exist; pass at most a few hundred ids. */
export async function findChannels(reader: Reader, ids: readonly number[]): Promise<ChannelWithOwner[]> {
  const rows = await reader
    .select({ channel, owner })
    .from(channel)
    .innerJoin(owner, eq(channel.ownerId, owner.id))
    .where(inArray(channel.id, [...ids]));
  return rows.map((row) => ({ ...row.channel, owner: row.owner }));
}

/** The position of a channel in the order of `channelsAfter()`. */
export type ChannelKey = { readonly owner: string; readonly type: string; readonly name: string };

/** At most `limit` channels that follow `after`, by owner, type and name; `text` is a part of the owner's or the name. */
export async function channelsAfter(
  reader: Reader,
  filter: {
    readonly after: ChannelKey | undefined;
    readonly owner: string | undefined;
    readonly text: string | undefined;
    readonly limit: number;
  },
): Promise<ChannelWithOwner[]> {
  const { after, text } = filter;
  const order = [owner.name, channel.type, channel.name] as const;
  const follows =
    after && sql`(${owner.name}, ${channel.type}, ${channel.name}) > (${after.owner}, ${after.type}, ${after.name})`;
  const ofOwner = filter.owner === undefined ? undefined : eq(owner.name, filter.owner);
  const rows = await reader
    .select({ channel, owner })
    .from(channel)
    .innerJoin(owner, eq(channel.ownerId, owner.id))
    .where(and(follows, contains(text, owner.name, channel.name), ofOwner))
    .orderBy(...order.map((column) => asc(column)))
    .limit(filter.limit);
  return rows.map((row) => ({ ...row.channel, owner: row.owner }));
}

/** The names of at most `limit` channels of an owner, in order. */
export async function channelNames(
  reader: Reader,
  { ownerId, type }: Pick<ChannelRow, "ownerId" | "type">,
  limit: number,
): Promise<string[]> {
  const rows = await reader
    .select({ name: channel.name })
    .from(channel)
    .where(and(eq(channel.ownerId, ownerId), eq(channel.type, type)))
    .orderBy(asc(channel.name))
    .limit(limit);
  return rows.map(({ name }) => name);
}

export async function insertChannel(
  tx: Transaction,
  values: Pick<ChannelRow, "ownerId" | "type" | "name" | "visibility" | "created">,
): Promise<ChannelRow> {
  return requireRow(await tx.insert(channel).values(values).returning());
}

export async function updateChannel(
  tx: Transaction,
  id: number,
  values: Partial<Pick<ChannelRow, "ownerId" | "visibility" | "policy" | "description">>,
): Promise<void> {
  await tx.update(channel).set(values).where(eq(channel.id, id));
}

export async function deleteChannel(tx: Transaction, id: number): Promise<void> {
  await tx.delete(channelRevision).where(eq(channelRevision.channelId, id));
  await tx.delete(channel).where(eq(channel.id, id));
}

const addRevision = prepared("addRevision", (reader) =>
  reader
    .update(channel)
    .set({ revision: sql`${channel.revision} + 1` })
    .where(eq(channel.id, param("channelId")))
    .returning({ revision: channel.revision }),
);
const insertRevision = prepared("insertRevision", (reader) =>
  reader.insert(channelRevision).values(placeholders("channelId", "revision", "identity", "at", "actorId")),
);

/** Increments the revision, inserts its row and returns its number. Times never go back, even when the clock does. */
export async function bumpRevision(
  tx: Transaction,
  values: Pick<RevisionRow, "channelId" | "identity" | "at" | "actorId">,
): Promise<number> {
  const { channelId } = values;
  const { revision } = requireRow(await addRevision(tx).execute({ channelId }));
  const previous = await revisionTime(tx, channelId, revision - 1);
  await insertRevision(tx).execute({ ...values, at: Math.max(values.at, previous ?? 0), revision });
  return revision;
}

const newestRevision = prepared("newestRevision", (reader) =>
  reader
    .select()
    .from(channelRevision)
    .where(eq(channelRevision.channelId, param("channelId")))
    .orderBy(desc(channelRevision.revision))
    .limit(1),
);
const oneRevision = prepared("oneRevision", (reader) =>
  reader
    .select()
    .from(channelRevision)
    .where(and(eq(channelRevision.channelId, param("channelId")), eq(channelRevision.revision, param("revision"))))
    .limit(1),
);

/** The newest revision of a channel; undefined before the first change. */
export async function latestRevision(reader: Reader, channelId: number): Promise<RevisionRow | undefined> {
  const rows = await newestRevision(reader).execute({ channelId });
  return rows[0];
}

/** The random id of a revision; undefined when this database has no such revision. */
export async function revisionIdentity(
  reader: Reader,
  channelId: number,
  revision: number,
): Promise<string | undefined> {
  const rows = await oneRevision(reader).execute({ channelId, revision });
  return rows[0]?.identity;
}

/** The time of a revision in ms UTC; undefined when there is no such revision. */
export async function revisionTime(reader: Reader, channelId: number, revision: number): Promise<number | undefined> {
  const rows = await oneRevision(reader).execute({ channelId, revision });
  return rows[0]?.at;
}

/** The newest revision up to `newest` that is not later than `at` (ms UTC), as times never go back; `newest` if none is. */
export async function revisionAt(reader: Reader, channelId: number, newest: number, at: number): Promise<number> {
  let [low, high] = [0, newest];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const time = await revisionTime(reader, channelId, middle);
    if (time !== undefined && time <= at) low = middle;
    else high = middle - 1;
  }
  return low === 0 ? newest : low;
}
