// The progress of a scope's update, stored as the cursor of its state.

import { z } from "zod";
import type { DerivedState } from "../../../models/index/db.ts";

const update = z.object({
  /** The update brings in what changed after this revision. */
  since: z.number(),
  /** The last finished name. */
  after: z.string(),
  /** A partly finished name, and where the work on it stopped. */
  within: z.object({ name: z.string(), stop: z.string() }).readonly().optional(),
});

export type Update = Readonly<z.infer<typeof update>>;

/** The update to resume or to start; undefined while a full build is in progress. */
export function updateOf({ revision, cursor }: Pick<DerivedState, "revision" | "cursor">): Update | undefined {
  if (cursor === null) return { since: revision, after: "" };
  if (!cursor.startsWith(PREFIX)) return undefined;
  return update.parse(JSON.parse(cursor.slice(PREFIX.length)));
}

export function cursorOf(progress: Update): string {
  return PREFIX + JSON.stringify(progress);
}

/** Marks the cursor of an update: no package name and no cursor of a full build starts like this. */
const PREFIX = "update ";
