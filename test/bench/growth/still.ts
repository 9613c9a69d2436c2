// Unchanged documents, compared with nginx.

import { MB } from "../bench.ts";
import type { Row } from "../report.ts";
import { unchangedRows } from "../unchanged.ts";
import { callOnce } from "./client.ts";
import { REPODATA_ZST, SHARDS } from "./documents.ts";
import { attempt } from "./rows.ts";
import type { Site } from "./site.ts";

const RATIO = 0.8;
/** A shorter run reads a large document too rarely. */
const SECONDS = 1;
const LARGE_SECONDS = 4;
const LARGE_BYTES = 10 * MB;

/** Smaller documents cost one request and nothing else, which these measure as well. */
const FROM = 10_000;

export async function still({ bench, records, serve }: Site): Promise<readonly Row[]> {
  if (records < FROM) return [];
  return await serve(async (server) => {
    const rows: Row[] = [];
    for (const { name, path } of [REPODATA_ZST, SHARDS]) {
      const measured = await attempt(name, async () => {
        const { bytes } = await callOnce(server.url, { path });
        const seconds = bytes > LARGE_BYTES ? LARGE_SECONDS : SECONDS;
        // The cost of these does not depend on the document.
        const bodiless = name === REPODATA_ZST.name;
        return await unchangedRows(bench, { url: `${server.url}${path}`, seconds, bodiless, ratio: RATIO });
      });
      rows.push(...measured.map((row) => (row.missing === undefined ? { ...row, what: `${name}: ${row.what}` } : row)));
    }
    return rows;
  });
}
