// How far an update of a scope has come, kept as the cursor of its state.

import { z } from "zod";
import type { DerivedState } from "../../../models/index/db.ts";

const update = z.object({
  /** What changed after this revision is brought in. */
  since: z.number(),
  /** The last name that is done. */
  after: z.string(),
  /** A name that is done in part, and where it stopped in it. */
  within: z.object({ name: z.string(), stop: z.string() }).readonly().optional(),
});

export type Update = Readonly<z.infer<typeof update>>;

/** The update to go on with, or to begin; undefined while a build from nothing is under way. */
export function updateOf({ revision, cursor }: Pick<DerivedState, "revision" | "cursor">): Update | undefined {
  if (cursor === null) return { since: revision, after: "" };
  if (!cursor.startsWith(PREFIX)) return undefined;
  return update.parse(JSON.parse(cursor.slice(PREFIX.length)));
}

export function cursorOf(reached: Update): string {
  return PREFIX + JSON.stringify(reached);
}

/** No name and no cursor of a build from nothing begins so. */
const PREFIX = "update ";
