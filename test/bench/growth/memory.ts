// The memory of the server while many clients read the same document.

import { MB } from "../bench.ts";
import type { Row } from "../report.ts";
import { askChild } from "./child.ts";
import { type ClientsLoad, clientsShape } from "./clients-load.ts";
import { DOCUMENTS, type GrowthDocument } from "./documents.ts";
import { attempt, missingRow } from "./rows.ts";
import type { Site } from "./site.ts";

export const PEAK = ", peak";
/** MB. */
export const MOST_MEMORY = 300;

const CLIENTS = 50;
const MOST = { of: "value", is: "at most", number: MOST_MEMORY } as const;

/** One server per document: leftovers of one must not count for the next. */
export async function memory(site: Site): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const document of DOCUMENTS) rows.push(...(await attempt(document.name, () => ofDocument(site, document))));
  return rows;
}

async function ofDocument({ serve }: Site, { name, path, isLimited }: GrowthDocument): Promise<Row[]> {
  return await serve(async ({ url, memory: read }) => {
    const load: ClientsLoad = { url, path, isLimited, clients: CLIENTS };
    const { absent } = await askChild(import.meta.resolve("./clients-load.ts"), load, clientsShape);
    if (absent !== undefined) return [missingRow(name, `not offered: ${absent}`)];
    const used = await read();
    if (!used) return [missingRow(name, "missing: the system does not tell it")];
    return [
      { what: `${name}${PEAK}`, unit: "MB", samples: [used.peak / MB], target: MOST },
      { what: `${name}, afterwards`, unit: "MB", samples: [used.resident / MB], target: MOST },
    ];
  });
}
