// The time from a server's start to its first responses when all derived data exists.

import { join } from "node:path";

import { freePort, startProcess } from "../processes.ts";
import type { Row } from "../report.ts";
import { serveCommand } from "../server.ts";
import { type Answer, callOnce } from "./client.ts";
import { REPODATA_ZST, SHARDS } from "./documents.ts";
import { attempt } from "./rows.ts";
import type { Site } from "./site.ts";

type First = { readonly what: string; readonly path: string; readonly until: "headMs" | "endMs" };

const FIRSTS: readonly First[] = [
  { what: "to the first answer", path: "/health/live", until: "endMs" },
  { what: `to all of ${SHARDS.name}`, path: SHARDS.path, until: "endMs" },
  { what: `to the head of ${REPODATA_ZST.name}`, path: REPODATA_ZST.path, until: "headMs" },
];
const MOST_MS = 1000;
const LIMIT_MS = 120_000;

export async function cold(site: Site): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const first of FIRSTS) {
    const measured = await attempt(first.what, async () => {
      const samples: number[] = [];
      for (let run = 0; run < site.bench.runs; run += 1) samples.push(await timeTo(site, first, run));
      return [{ what: first.what, unit: "ms", samples, target: { of: "value", is: "at most", number: MOST_MS } }];
    });
    rows.push(...measured);
  }
  return rows;
}

async function timeTo({ bench, place }: Site, { path, until }: First, run: number): Promise<number> {
  const port = freePort();
  const command = serveCommand(bench, place.dataDir, port);
  const started = performance.now();
  const process = startProcess(command, { cwd: place.folder, log: join(place.folder, `log-start-${run}`) });
  try {
    const answer = await firstAnswer(`http://127.0.0.1:${port}`, path, started);
    return performance.now() - started - (answer.endMs - answer[until]);
  } finally {
    await process.stop();
  }
}

async function firstAnswer(url: string, path: string, started: number): Promise<Answer> {
  while (performance.now() - started < LIMIT_MS) {
    const answer = await callOnce(url, { path }).catch(() => undefined);
    if (answer?.status === 200) return answer;
    await Bun.sleep(2);
  }
  throw new Error(`no answer to ${path} after ${LIMIT_MS / 1000} s`);
}
