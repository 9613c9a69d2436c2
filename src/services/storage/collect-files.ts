// Deletes abandoned temporary files and outdated documents.

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

/** An upload can take an hour; an older temporary file is abandoned. */
export const TEMPORARY_MS = 2 * 60 * 60 * 1000;
/** A reader that knows the path of a document opens it within this time. */
const READER_MS = 2000;
/** A writer finishes a document within this time. */
const WRITER_MS = 60 * 60 * 1000;

export async function collectTemporary(work: Collecting): Promise<void> {
  for (const leftover of await listTemporary(work.folder.root)) {
    if (leftover.modified <= work.clock.now() - TEMPORARY_MS) await deleteLeftover(work, leftover, "temporary");
  }
}

/** Deletes documents that have been outdated, and so not requested, for `graceMs`: the next request rebuilds them. */
export async function collectDocuments(work: Collecting): Promise<void> {
  for (let isRetry = false; ; isRetry = true) {
    let isAnySoon = false;
    for await (const file of listDocuments(work.folder.root)) {
      const due = await dueOf(work, file);
      if (due === "now") await deleteLeftover(work, file, "document");
      isAnySoon ||= due === "soon";
    }
    if (!isAnySoon || isRetry || work.dryRun) return;
    await Bun.sleep(READER_MS);
  }
}

/** `soon`: due, but a reader may be about to open the file. */
async function dueOf(work: Collecting, file: DocumentFile): Promise<"now" | "soon" | "later"> {
  const changed = await changedAt(work, file);
  if (changed === undefined) return "now";
  const now = work.clock.now();
  if (!file.isNewest) return file.modified <= now - WRITER_MS ? "now" : "later";
  if (file.modified >= changed || changed > now - work.graceMs) return "later";
  return changed <= now - READER_MS ? "now" : "soon";
}

/** The time of the section's last change; undefined when its channel was deleted or never changed. */
async function changedAt({ database }: Collecting, file: DocumentFile): Promise<number | undefined> {
  const { channelId, section } = file;
  const latest = await latestRevision(database.read, channelId);
  if (!latest || section === "channel") return latest?.at;
  const revision = await sectionRevision(database.read, channelId, section);
  return (await revisionTime(database.read, channelId, revision)) ?? 0;
}

async function deleteLeftover(work: Collecting, { name, size }: Leftover, kind: Collected["kind"]): Promise<void> {
  if (!work.dryRun) await removeLeftover(work.folder.root, name);
  work.onCollected({ kind, name, bytes: size });
}
