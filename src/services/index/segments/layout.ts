// How a segmented document is laid out: the groups in which entries stand, what an entry's text is, and the frame around.

import type { IndexedFile } from "../../../models/package-file.ts";

export type Group = {
  readonly name: string;
  /** How the names of its files end. */
  readonly ending: string;
  /** The text of a file's entry, without a comma; undefined for a file that stands elsewhere. */
  entry(file: IndexedFile): string | undefined;
  /** The file of the entry with this key. */
  fileOf(key: string): { readonly packageName: string; readonly fileName: string };
  /** Whether the document has its map even when there is nothing in it. */
  readonly always: boolean;
};

export type Layout = {
  readonly name: string;
  readonly groups: readonly Group[];
  /** The texts before, between and after so many of the groups. */
  frame(section: string, yanked: readonly string[], groups: number): readonly string[];
};
