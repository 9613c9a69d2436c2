// Channels, and the revisions that say when and why their documents changed.

import { and, asc, desc, eq, sql } from "drizzle-orm";
import type { Reader, Transaction } from "./database.ts";
import type { OwnerRow } from "./owner.ts";
import { theRow } from "./rows.ts";
import { channel, channelRevision, owner } from "./schema/sqlite.ts";

export type ChannelRow = typeof channel.$inferSelect;
export type ChannelWithOwner = ChannelRow & { readonly owner: OwnerRow };
export type RevisionRow = typeof channelRevision.$inferSelect;

export async function findChannel(
  reader: Reader,
  ownerId: number,
  type: string,
  name: string,
): Promise<ChannelRow | undefined> {
  const wanted = and(eq(channel.ownerId, ownerId), eq(channel.type, type), eq(channel.name, name));
  const rows = await reader.select().from(channel).where(wanted).limit(1);
  return rows[0];
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

export async function insertChannel(
  tx: Transaction,
  values: Pick<ChannelRow, "ownerId" | "type" | "name" | "visibility" | "created">,
): Promise<ChannelRow> {
  return theRow(await tx.insert(channel).values(values).returning());
}

export async function updateChannel(
  tx: Transaction,
  id: number,
  values: Partial<Pick<ChannelRow, "visibility" | "policy" | "description">>,
): Promise<void> {
  await tx.update(channel).set(values).where(eq(channel.id, id));
}

export async function deleteChannel(tx: Transaction, id: number): Promise<void> {
  await tx.delete(channelRevision).where(eq(channelRevision.channelId, id));
  await tx.delete(channel).where(eq(channel.id, id));
}

/** Adds one to the revision and writes its row; answers the new revision. Its time never goes back, whatever the clock. */
export async function bumpRevision(
  tx: Transaction,
  values: Pick<RevisionRow, "channelId" | "identity" | "at" | "actorId">,
): Promise<number> {
  const { revision } = theRow(
    await tx
      .update(channel)
      .set({ revision: sql`${channel.revision} + 1` })
      .where(eq(channel.id, values.channelId))
      .returning({ revision: channel.revision }),
  );
  const before = await revisionTime(tx, values.channelId, revision - 1);
  await tx.insert(channelRevision).values({ ...values, at: Math.max(values.at, before ?? 0), revision });
  return revision;
}

/** The newest revision of a channel; undefined before the first change. */
export async function latestRevision(reader: Reader, channelId: number): Promise<RevisionRow | undefined> {
  const rows = await reader
    .select()
    .from(channelRevision)
    .where(eq(channelRevision.channelId, channelId))
    .orderBy(desc(channelRevision.revision))
    .limit(1);
  return rows[0];
}

/** When a revision was made, in ms; undefined when there is no such revision. */
export async function revisionTime(reader: Reader, channelId: number, revision: number): Promise<number | undefined> {
  const wanted = and(eq(channelRevision.channelId, channelId), eq(channelRevision.revision, revision));
  const rows = await reader.select({ at: channelRevision.at }).from(channelRevision).where(wanted).limit(1);
  return rows[0]?.at;
}
