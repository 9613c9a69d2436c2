// The time from a publish until the package has been read, for each document: read-your-writes, without waiting.

import type { Row } from "../report.ts";
import type { RunningServer } from "../server.ts";
import { askChild } from "./child.ts";
import { DOCUMENTS, type GrowthDocument, mostVisible, SHARDS } from "./documents.ts";
import { type PublishAndReadLoad, timesShape } from "./publish-and-read.ts";
import { attempt, missingRow } from "./rows.ts";
import type { Site } from "./site.ts";

const PER_RUN = 20;
const LEAST = 3;
/** The time budget of one document: the larger the channel, the fewer samples. */
const BUDGET_MS = 5_000;
const LARGE_BUDGET_MS = 20_000;
const LARGE = 1_000_000;

export async function visible(site: Site): Promise<readonly Row[]> {
  return await site.serve(async (server) => {
    const rows: Row[] = [];
    for (const document of DOCUMENTS)
      rows.push(...(await attempt(document.name, () => ofDocument(site, server, document))));
    return rows;
  });
}

export function visibleRow({ name }: GrowthDocument): string {
  return name === SHARDS.name ? `${name} and shard` : name;
}

async function ofDocument(site: Site, { url }: RunningServer, document: GrowthDocument): Promise<Row[]> {
  const { name } = document;
  const load: PublishAndReadLoad = {
    url,
    token: site.token,
    series: site.nextSeries(),
    document,
    publishes: site.bench.runs * PER_RUN,
    least: LEAST,
    budgetMs: site.records >= LARGE ? LARGE_BUDGET_MS : BUDGET_MS,
  };
  const times = await askChild(import.meta.resolve("./publish-and-read.ts"), load, timesShape);
  if (times.absent !== undefined) return [missingRow(name, `not offered: ${times.absent}`)];
  const most = mostVisible(document, site.records);
  return [
    {
      what: visibleRow(document),
      unit: "ms",
      samples: times.read,
      percentile: 95,
      ...(most !== undefined && { target: { of: "value", is: "at most", number: most } }),
    },
    {
      what: name === SHARDS.name ? `${name} alone` : `${name}, to its head`,
      unit: "ms",
      samples: times.first,
      percentile: 95,
    },
  ];
}
