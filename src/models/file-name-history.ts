// Every file name that a section ever held, with the hash of its content: channels with immutable names check it.

import type { Transaction } from "./database.ts";
import { placeholders, prepared } from "./prepared.ts";
import { fileNameHistory } from "./schema/index.ts";
import { foldCase } from "../modules/fold-case.ts";

type HistoryKey = {
  readonly channelId: number;
  readonly section: string;
  readonly fileName: string;
  readonly sha256: string;
};

const upsertName = prepared("upsertName", (reader) =>
  reader
    .insert(fileNameHistory)
    .values(placeholders("channelId", "section", "fileNameFolded", "sha256", "firstSeen"))
    .onConflictDoUpdate({
      target: [
        fileNameHistory.channelId,
        fileNameHistory.section,
        fileNameHistory.fileNameFolded,
        fileNameHistory.sha256,
      ],
      set: { deletedAt: null },
    }),
);

export async function recordFileName(tx: Transaction, key: HistoryKey, at: number): Promise<void> {
  const { fileName, ...rest } = key;
  await upsertName(tx).execute({ ...rest, fileNameFolded: foldCase(fileName), firstSeen: at });
}
