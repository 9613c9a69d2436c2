// Goes through what a document lists beside what it should list, both in the order of documents.

import type { IndexedFile } from "../../../models/package-file.ts";
import { compareText, orderKey } from "../../../modules/conda/file-name.ts";
import type { Complain } from "../../index/format.ts";
import { fileNameOf, type EntryMap } from "./entries.ts";

export type RollCall = {
  /** The next entry of the document and its key; it is checked against its file, if there is one. */
  meet(key: string, entry: unknown): Promise<void>;
  /** After the last entry. */
  end(): Promise<void>;
};

export type RollCallParts = {
  readonly map: EntryMap;
  readonly expected: AsyncIterator<IndexedFile, unknown>;
  readonly check: (entry: unknown, file: IndexedFile) => void;
  readonly complain: Complain;
};

export function createRollCall({ map, expected, check, complain }: RollCallParts): RollCall {
  let waiting: IndexedFile | undefined;
  let begun = false;

  async function advance(): Promise<void> {
    const next = await expected.next();
    waiting = next.done === true ? undefined : next.value;
    begun = true;
  }

  async function passOver(isBefore: (file: IndexedFile) => boolean): Promise<void> {
    if (!begun) await advance();
    for (; waiting && isBefore(waiting); await advance()) complain("I-6", `${waiting.fileName} is left out`);
  }

  return {
    meet: async (key, entry) => {
      const fileName = fileNameOf(map, key);
      await passOver((file) => compareText(orderKey(file.fileName), orderKey(fileName)) < 0);
      if (waiting?.fileName !== fileName) return complain("I-6", `${fileName} is listed, and is no active file`);
      check(entry, waiting);
      await advance();
    },
    end: () => passOver(() => true),
  };
}
