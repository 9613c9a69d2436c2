// Rows of the parts of this measurement; a part that fails loses only its own rows.

import type { Row } from "../report.ts";

/** The tables, in order. */
export const TOPICS = {
  publish: "publish latency while the channel grows",
  nothing: "documents from nothing",
  visible: "publish to visible",
  unchanged: "unchanged documents beside nginx",
  start: "start with a valid index.db",
  memory: "memory of the server, each document read by 50 clients at once",
  rebuild: "rebuild, and other requests while documents are made from nothing",
} as const;

const MOST_TEXT = 160;

export type Topic = keyof typeof TOPICS;

/** Returns the rows of `work`; when it fails, a row with the reason. */
export async function attempt(what: string, work: () => Promise<readonly Row[]>): Promise<readonly Row[]> {
  try {
    return await work();
  } catch (error) {
    return [missingRow(what, `missing: ${error instanceof Error ? error.message : String(error)}`)];
  }
}

/** `why` must fit into a table cell. */
export function missingRow(what: string, why: string): Row {
  return { what, unit: "", samples: [], missing: why.replace(/\s+/g, " ").replaceAll("|", "/").slice(0, MOST_TEXT) };
}
