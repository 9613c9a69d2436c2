// `growth`: channels, each ten times as large as the one before, and the cost of size: publishes, documents, memory.

import { createProgressBar } from "../../../src/cli/progress.ts";
import { type Bench, GB, type Measurement } from "../bench.ts";
import { seedChannel } from "../channel-seed.ts";
import { hasPeers } from "../peers.ts";
import type { Row } from "../report.ts";
import { type MeasuredServer, withServer } from "../server.ts";
import { growthChart } from "./growth-chart.ts";
import { cold } from "./cold.ts";
import { grow, REFERENCE_RECORDS } from "./grow.ts";
import { memory } from "./memory.ts";
import { fromNothing } from "./nothing.ts";
import { rebuild } from "./rebuild.ts";
import { attempt, missingRow, type Topic, TOPICS } from "./rows.ts";
import { openSite, type Site } from "./site.ts";
import { still } from "./still.ts";
import { visible } from "./visible.ts";

type Part = { readonly topic: Topic; readonly measure: (site: Site) => Promise<readonly Row[]> };

const SIZES = [100, 1000, 10_000, 100_000, 1_000_000];
/** The database, its derived data, twice during a rebuild, and several copies of the largest document. */
const BYTES_PER_RECORD = 14_000;

export const growth: Measurement = {
  name: "growth",
  space: (records) => 2 * GB + BYTES_PER_RECORD * Math.min(records, Math.max(...SIZES)),
  measure,
  chart: growthChart,
};

async function measure(bench: Bench): Promise<readonly Row[]> {
  const peers = hasPeers(bench, `growth: ${TOPICS.unchanged}`);
  const rows: Row[] = [];
  const ofSmall = (dataDir: string): Promise<void> => seedChannel(dataDir, REFERENCE_RECORDS);
  await withServer(
    bench,
    async (reference) => {
      for (const records of SIZES.filter((size) => size <= bench.records)) {
        const started = performance.now();
        rows.push(...(await measureSize(bench, records, { peers, reference })));
        const seconds = ((performance.now() - started) / 1000).toFixed(0);
        console.log(`${records.toLocaleString("en")} records: measured in ${seconds} s`);
      }
    },
    ofSmall,
  );
  console.log();
  return Object.values(TOPICS).flatMap((topic) => rows.filter((row) => row.topic === topic));
}

type Beside = { readonly peers: boolean; readonly reference: MeasuredServer };

async function measureSize(bench: Bench, records: number, { peers, reference }: Beside): Promise<Row[]> {
  const parts: readonly Part[] = [
    { topic: "publish", measure: (site) => grow(site, reference) },
    { topic: "nothing", measure: fromNothing },
    { topic: "visible", measure: visible },
    ...(peers ? [{ topic: "unchanged", measure: still } as const] : []),
    { topic: "start", measure: cold },
    { topic: "memory", measure: memory },
    { topic: "rebuild", measure: rebuild },
  ];
  const rows: Row[] = [];
  const add = (topic: Topic, found: readonly Row[]): void => {
    rows.push(...found.map((row) => ({ ...row, topic: TOPICS[topic], records })));
  };
  const bar = createProgressBar();
  try {
    const site = await openSite(bench, records, bar);
    for (const [at, { topic, measure: part }] of parts.entries()) {
      bar.update(at, parts.length, `parts, ${records} records: ${TOPICS[topic]}`);
      // No other row reports a channel that could not be filled.
      add(topic, topic === "publish" ? await part(site) : await attempt("all of it", () => part(site)));
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    add("publish", [missingRow("all of this size", `missing: ${reason}`)]);
  } finally {
    bar.stop();
  }
  return rows;
}
