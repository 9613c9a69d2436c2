// How far an update of a scope has come, kept as the cursor of its state.

import type { DerivedState } from "../../../models/index/db.ts";

export type Update = {
  /** What changed after this revision is brought in. */
  readonly since: number;
  /** The last name that is done. */
  readonly after: string;
  /** A name that is done in part, and where it stopped in it. */
  readonly within?: { readonly name: string; readonly stop: string } | undefined;
};

/** The update to go on with, or to begin; undefined while a build from nothing is under way. */
export function updateOf({ revision, cursor }: Pick<DerivedState, "revision" | "cursor">): Update | undefined {
  if (cursor === null) return { since: revision, after: "" };
  if (!cursor.startsWith(PREFIX)) return undefined;
  const update: Update = JSON.parse(cursor.slice(PREFIX.length));
  return update;
}

export function cursorOf(update: Update): string {
  return PREFIX + JSON.stringify(update);
}

/** No name and no cursor of a build from nothing begins so. */
const PREFIX = "update ";
