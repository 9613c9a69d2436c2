// `scale`: PostgreSQL and S3 beside SQLite and a folder, and what one node shows of a publish to the other.

import { z } from "zod";

import { hasPostgres } from "../support/postgres.ts";
import { hasVersitygw } from "../support/versitygw.ts";
import { type Bench, byTurns, GB, type Measurement } from "./bench.ts";
import { type Services, withNodes, withServices } from "./cluster.ts";
import { askChild } from "./growth/child.ts";
import { type GrowthDocument, REPODATA_ZST, SHARDS } from "./growth/documents.ts";
import { type PublishAndReadLoad, timesShape } from "./growth/publish-and-read.ts";
import { attempt } from "./growth/rows.ts";
import { runScript } from "./processes.ts";
import type { PublishLoad } from "./publish-load.ts";
import { percentile, type Row } from "./report.ts";
import { type MeasuredServer, withServer } from "./server.ts";

type Sample = { readonly perSecond: number; readonly p95: number; readonly cpuMs: number };

const CLIENTS = 8;
const PACKAGES = 600;
const WARM_UP = 200;
/** Channels of the publishes, with the least part of the peer's rate. */
const CHANNELS = [1, 8];
const LEAST = { of: "ratio", is: "at least", number: 0.4 } as const;
/** Channels of the reads; those with more records than `--records` are left out. */
const RECORDS = [10_000, 100_000];
const VISIBLE: readonly { readonly document: GrowthDocument; readonly what: string; readonly ms: number }[] = [
  { document: SHARDS, what: "shard index and shard", ms: 60 },
  { document: REPODATA_ZST, what: "repodata.json.zst", ms: 150 },
];
const READS_PER_RUN = 40;
const PEER = "SQLite and folder";
const published = z.object({ seconds: z.number(), latencies: z.array(z.number()) });

export const scale: Measurement = { name: "scale", space: 4 * GB, measure };

async function measure(bench: Bench): Promise<readonly Row[]> {
  if (!hasPostgres("scale") || !hasVersitygw("scale")) return [];
  return await withServices(async (services) => {
    const rows = [...(await publishes(bench, services))];
    for (const records of RECORDS.filter((count) => count <= bench.records))
      rows.push(...(await visible(bench, services, records)));
    return rows;
  });
}

async function publishes(bench: Bench, services: Services): Promise<readonly Row[]> {
  return await withNodes(bench, services, 0, async (node) =>
    withServer(bench, async (peer) => {
      const rows: Row[] = [];
      for (const channels of CHANNELS) {
        for (const server of [node, peer]) await publishAll(server, channels, WARM_UP);
        const [onNode, onPeer] = [node, peer].map((server) => () => publishAll(server, channels, PACKAGES));
        if (!onNode || !onPeer) continue;
        const { a, b } = await byTurns(bench.runs, onNode, onPeer);
        rows.push(...publishRows(channels, a, b));
      }
      return rows;
    }),
  );
}

let series = 0;
async function publishAll(server: MeasuredServer, channels: number, packages: number): Promise<Sample> {
  series += 1;
  const { url, token } = server;
  const load: PublishLoad = { url, token, clients: CLIENTS, channels, packages, series: `scale-${series}` };
  const before = (await server.cpuSeconds()) ?? Number.NaN;
  const { seconds, latencies } = published.parse(await runScript(import.meta.resolve("./publish-load.ts"), load));
  const used = ((await server.cpuSeconds()) ?? Number.NaN) - before;
  return { perSecond: packages / seconds, p95: percentile(latencies, 95), cpuMs: (1000 * used) / packages };
}

function publishRows(channels: number, node: readonly Sample[], peer: readonly Sample[]): Row[] {
  const who = `${CLIENTS} clients, ${channels === 1 ? "one channel" : `${channels} channels`}`;
  const row = (what: string, unit: string, of: (sample: Sample) => number): Row => ({
    topic: "Publishes",
    what: `${who}: ${what}`,
    unit,
    samples: node.map(of),
    peer: { name: PEER, samples: peer.map(of) },
  });
  return [
    { ...row("publishes", "/s", ({ perSecond }) => perSecond), target: LEAST },
    row("p95", "ms", ({ p95 }) => p95),
    row("processor time of each", "ms", ({ cpuMs }) => cpuMs),
  ];
}

async function visible(bench: Bench, services: Services, records: number): Promise<readonly Row[]> {
  return await withNodes(bench, services, records, async (a, b) => {
    const rows: Row[] = [];
    for (const one of VISIBLE)
      rows.push(...(await attempt(one.what, () => visibleRows(bench, { a, b, records }, one))));
    return rows;
  });
}

type Nodes = { readonly a: MeasuredServer; readonly b: MeasuredServer; readonly records: number };

async function visibleRows(
  bench: Bench,
  { a, b, records }: Nodes,
  { document, what, ms }: (typeof VISIBLE)[number],
): Promise<Row[]> {
  series += 1;
  const load: PublishAndReadLoad = {
    url: a.url,
    readUrl: b.url,
    token: a.token,
    series: `scale-${series}`,
    document,
    publishes: bench.runs * READS_PER_RUN,
    least: READS_PER_RUN,
    budgetMs: 60_000,
  };
  const { publish, read } = await askChild(import.meta.resolve("./growth/publish-and-read.ts"), load, timesShape);
  const target = { of: "value", is: "at most", number: ms } as const;
  const about = { topic: "From one node to the other", records, unit: "ms", percentile: 95 } as const;
  return [
    { ...about, what: `2xx on A to ${what} of B`, samples: read, target },
    { ...about, what: `publish on A, before ${what}`, samples: publish },
  ];
}
