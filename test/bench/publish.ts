// `publish`: small packages by token, each durable before its response, from one client and from eight.

import { link, mkdir, open } from "node:fs/promises";
import { join } from "node:path";

import { z } from "zod";

import { type Bench, GB, type Measurement } from "./bench.ts";
import { runScript } from "./processes.ts";
import type { PublishLoad } from "./publish-load.ts";
import { percentile, type Row, type Target } from "./report.ts";
import { type MeasuredServer, withServer } from "./server.ts";

/** `cpuSeconds` is the processor time of the server. */
type Result = z.infer<typeof resultShape> & { readonly cpuSeconds: number | undefined };
type Targets = { readonly rate?: Target; readonly p95: Target };

const resultShape = z.object({ seconds: z.number(), latencies: z.array(z.number()) });
const PACKAGES = 1000;
const WARM_UP = 300;
const ONE: Targets = { p95: { of: "value", is: "at most", number: 10 } };
const EIGHT: Targets = {
  rate: { of: "value", is: "at least", number: 400 },
  p95: { of: "value", is: "at most", number: 40 },
};

export const publish: Measurement = { name: "publish", space: 3 * GB, measure };

async function measure(bench: Bench): Promise<readonly Row[]> {
  const one: Result[] = [];
  const eight: Result[] = [];
  const disk: { one: number[]; eight: number[] } = { one: [], eight: [] };
  for (let run = 0; run < bench.runs; run += 1) {
    await withServer(bench, async (server) => {
      await publishAll(server, { clients: 8, packages: WARM_UP, series: "warm" });
      disk.one.push(await durableFiles(join(bench.room, `files-1-${run}`), 1));
      one.push(await publishAll(server, { clients: 1, packages: PACKAGES, series: "one" }));
      disk.eight.push(await durableFiles(join(bench.room, `files-8-${run}`), 8));
      eight.push(await publishAll(server, { clients: 8, packages: PACKAGES, series: "eight" }));
    });
  }
  return [...rowsOf("1 client", one, disk.one, ONE), ...rowsOf("8 clients", eight, disk.eight, EIGHT)];
}

type Load = Omit<PublishLoad, "url" | "token">;

async function publishAll({ url, token, cpuSeconds }: MeasuredServer, load: Load): Promise<Result> {
  const before = await cpuSeconds();
  const result = resultShape.parse(await runScript(import.meta.resolve("./publish-load.ts"), { url, token, ...load }));
  const after = await cpuSeconds();
  const used = before === undefined || after === undefined ? undefined : after - before;
  return { ...result, cpuSeconds: used };
}

function rowsOf(who: string, results: readonly Result[], disk: readonly number[], { rate, p95 }: Targets): Row[] {
  const latency = (percent: number): number[] => results.map(({ latencies }) => percentile(latencies, percent));
  const cpu = results.flatMap(({ cpuSeconds, latencies }) =>
    cpuSeconds === undefined ? [] : [(1000 * cpuSeconds) / latencies.length],
  );
  return [
    {
      what: `${who}: publishes`,
      unit: "/s",
      samples: results.map(({ latencies, seconds }) => latencies.length / seconds),
      peer: { name: "durable files, plainly", samples: disk },
      ...(rate && { target: rate }),
    },
    { what: `${who}: p50`, unit: "ms", samples: latency(50) },
    { what: `${who}: p95`, unit: "ms", samples: latency(95), target: p95 },
    { what: `${who}: slowest`, unit: "ms", samples: latency(100) },
    ...(cpu.length > 0 ? [{ what: `${who}: processor time of each`, unit: "ms", samples: cpu }] : []),
  ];
}

/** How many small files per second the disk itself makes durable: written, synced, linked, and the folder synced. */
async function durableFiles(folder: string, writers: number): Promise<number> {
  await mkdir(folder);
  const bytes = Buffer.alloc(1000, "x");
  let left = PACKAGES;
  const write = async (): Promise<void> => {
    for (let name = left--; name > 0; name = left--) {
      const path = join(folder, String(name));
      const file = await open(path, "wx");
      await file.write(bytes);
      await file.sync();
      await file.close();
      await link(path, `${path}.linked`);
      const entries = await open(folder, "r");
      await entries.sync();
      await entries.close();
    }
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: writers }, write));
  return PACKAGES / ((performance.now() - started) / 1000);
}
