// The layout of a segmented document: the groups of its entries, the text of an entry, and the frame around them.

import type { IndexedFile } from "../../../models/indexed-file.ts";

export type Group = {
  readonly name: string;
  /** Suffix of the names of its files. */
  readonly ending: string;
  /** The text of a file's entry, without a comma; undefined for a file that belongs to another group. */
  entry(file: IndexedFile): string | undefined;
  /** The file whose entry has this JSON key. */
  fileOf(key: string): { readonly packageName: string; readonly fileName: string };
  /** Whether the document contains the group even when the group is empty. */
  readonly always: boolean;
};

export type Layout = {
  readonly name: string;
  readonly groups: readonly Group[];
  /** The texts before, between and after the first `groups` groups. */
  frame(section: string, yanked: readonly string[], groups: number): readonly string[];
};
