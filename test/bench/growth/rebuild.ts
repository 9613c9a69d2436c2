// Full builds of everything: by the command, and in the server beside other requests.

import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { startProcess } from "../processes.ts";
import type { Row } from "../report.ts";
import { type BesideLoad, besideShape } from "./beside-load.ts";
import { askChild } from "./child.ts";
import { repeatsText } from "./client.ts";
import { REPODATA_ZST, SHARDS } from "./documents.ts";
import { attempt, missingRow } from "./rows.ts";
import type { Site } from "./site.ts";

const REINDEX = "reindex";
const BUILD = `${REPODATA_ZST.name} and ${SHARDS.name}`;
const REINDEX_LIMIT_MS = 20 * 60_000;
const MOST_MS = 100;
/** Fewer samples say nothing about the slowest in a hundred. */
const FEWEST = 20;

export async function rebuild(site: Site): Promise<readonly Row[]> {
  return [...(await attempt(REINDEX, () => reindex(site))), ...(await attempt(BUILD, () => besideOthers(site)))];
}

async function reindex({ bench, place }: Site): Promise<Row[]> {
  const command = [...bench.command, "reindex", "admin/main", "--data", place.dataDir];
  const log = join(place.folder, "log-reindex");
  const started = performance.now();
  const process = startProcess(command, { cwd: place.folder, log });
  const limit = setTimeout(() => void process.stop(), REINDEX_LIMIT_MS);
  const code = await process.exited;
  clearTimeout(limit);
  const seconds = (performance.now() - started) / 1000;
  if (code !== 0) throw new Error(`reindex ended with ${code}: ${await readFile(log, "utf8")}`);
  return [{ what: REINDEX, unit: "s", samples: [seconds] }];
}

async function besideOthers(site: Site): Promise<Row[]> {
  await site.removeIndex();
  return await site.serve(async ({ url }) => {
    const paths = [REPODATA_ZST.path, SHARDS.path];
    const load: BesideLoad = { url, token: site.token, series: site.nextSeries(), paths };
    const { seconds, repeats, others } = await askChild(import.meta.resolve("./beside-load.ts"), load, besideShape);
    return [
      { what: `${BUILD}${repeatsText(repeats)}`, unit: "s", samples: [seconds] },
      ...others.map(({ what, times }): Row => {
        const meanwhile = `meanwhile, ${what}`;
        if (times.length < FEWEST) return missingRow(meanwhile, `missing: all was made after ${times.length} of them`);
        const target = { of: "value", is: "at most", number: MOST_MS } as const;
        return { what: meanwhile, unit: "ms", samples: times, percentile: 99, target };
      }),
    ];
  });
}
