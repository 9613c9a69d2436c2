// Temporary files that nobody owns any more, and documents that nobody will read again.

import { latestRevision, revisionTime } from "../../models/channel.ts";
import { sectionRevision } from "../../models/index-part.ts";
import {
  listDocuments,
  listTemporary,
  removeLeftover,
  type DocumentFile,
  type Leftover,
} from "../../modules/storage/leftovers.ts";
import type { Collected, Collecting } from "./collect.ts";

/** An upload may take an hour; what is older belongs to nobody. */
export const TEMPORARY_MS = 2 * 60 * 60 * 1000;
/** Whoever was told of a document opens it within this time, and whoever writes one has ended. */
const READER_MS = 2000;
const WRITER_MS = 60 * 60 * 1000;

export async function collectTemporary(work: Collecting): Promise<void> {
  for (const leftover of await listTemporary(work.folder.root)) {
    if (leftover.modified <= work.clock.now() - TEMPORARY_MS) await takeLeftover(work, leftover, "temporary");
  }
}

/** A document is made again by the next who asks, so one that is behind goes when nobody has asked for so long. */
export async function collectDocuments(work: Collecting): Promise<void> {
  for (let isAgain = false; ; isAgain = true) {
    let waits = false;
    for await (const file of listDocuments(work.folder.root)) {
      const due = await dueOf(work, file);
      if (due === "now") await takeLeftover(work, file, "document");
      waits ||= due === "soon";
    }
    if (!waits || isAgain || work.dryRun) return;
    await Bun.sleep(READER_MS);
  }
}

/** `soon` when only a reader may still be on its way to it. */
async function dueOf(work: Collecting, file: DocumentFile): Promise<"now" | "soon" | "later"> {
  const changed = await changedAt(work, file);
  if (changed === undefined) return "now";
  const now = work.clock.now();
  if (!file.isNewest) return file.modified <= now - WRITER_MS ? "now" : "later";
  if (file.modified >= changed || changed > now - work.graceMs) return "later";
  return changed <= now - READER_MS ? "now" : "soon";
}

/** When the section last changed; undefined when its channel has gone. */
async function changedAt({ database }: Collecting, file: DocumentFile): Promise<number | undefined> {
  const { channelId, section } = file;
  const latest = await latestRevision(database.read, channelId);
  if (!latest || section === "channel") return latest?.at;
  const revision = await sectionRevision(database.read, channelId, section);
  return (await revisionTime(database.read, channelId, revision)) ?? 0;
}

async function takeLeftover(work: Collecting, { name, size }: Leftover, kind: Collected["kind"]): Promise<void> {
  if (!work.dryRun) await removeLeftover(work.folder.root, name);
  work.take({ kind, name, bytes: size });
}
