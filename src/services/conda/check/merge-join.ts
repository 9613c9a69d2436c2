// Merge join of the entries in a document with the files it must list, both in the order of documents.

import type { IndexedFile } from "../../../models/indexed-file.ts";
import { compareText, orderKey } from "../../../modules/conda/file-name.ts";
import type { ReportProblem } from "../../index/format.ts";
import { fileNameOf, type EntryMap } from "./entries.ts";

export type MergeJoin = {
  /** Adds the next entry of the document; checks it against its file, or reports that it has none. */
  add(key: string, entry: unknown): Promise<void>;
  /** Call it after the last entry; reports all remaining files as missing. */
  end(): Promise<void>;
};

export type MergeJoinParts = {
  readonly map: EntryMap;
  readonly expected: AsyncIterator<IndexedFile, unknown>;
  readonly check: (entry: unknown, file: IndexedFile) => void;
  readonly complain: ReportProblem;
};

export function createMergeJoin({ map, expected, check, complain }: MergeJoinParts): MergeJoin {
  let current: IndexedFile | undefined;
  let isStarted = false;

  async function advance(): Promise<void> {
    const next = await expected.next();
    current = next.done === true ? undefined : next.value;
    isStarted = true;
  }

  async function skipWhile(isBefore: (file: IndexedFile) => boolean): Promise<void> {
    if (!isStarted) await advance();
    for (; current && isBefore(current); await advance()) complain("I-6", `${current.fileName} is missing`);
  }

  return {
    add: async (key, entry) => {
      const fileName = fileNameOf(map, key);
      await skipWhile((file) => compareText(orderKey(file.fileName), orderKey(fileName)) < 0);
      if (current?.fileName !== fileName) return complain("I-6", `${fileName} is listed but is not an active file`);
      check(entry, current);
      await advance();
    },
    end: () => skipWhile(() => true),
  };
}
