// `processes`: a server of two processes beside the same server as one, on the same folder.

import { randomBytes } from "node:crypto";

import { buildPackage } from "../support/package-builder.ts";
import { type Bench, byTurns, GB, type Measurement } from "./bench.ts";
import { seedChannel } from "./channel-seed.ts";
import { getAgain } from "./peers.ts";
import { runScript } from "./processes.ts";
import type { Row } from "./report.ts";
import { createToken, newFolder, publish, type RunningServer, type ServerFolder, withServerOn } from "./server.ts";
import { z } from "zod";

type Sample = { readonly perSecond: number; readonly cpuMs: number };
/** `share`: of the full load. */
type Load = {
  readonly what: string;
  readonly run: (server: RunningServer, share: number) => Promise<{ count: number; seconds: number }>;
};

/** About 20 and 800 KB as clients fetch them. */
const RECORDS = { small: 200, large: 10_000 };
const SECONDS = 5;
/** Enough that the system gives each process about half of them. */
const CONNECTIONS = 64;
/** The client's core. With two cores, the processes share it with the client. */
const CLIENT_CORE = 1;
const PACKAGES = 600;
/** A first part of the load, which is not measured. */
const WARM_UP = 0.2;
const published = z.object({ seconds: z.number(), latencies: z.array(z.number()) });

export const several: Measurement = { name: "processes", space: 2 * GB, measure };

async function measure(bench: Bench): Promise<readonly Row[]> {
  if (!Bun.which("wrk") || !Bun.which("taskset")) {
    bench.leaveOut("processes", "wrk or taskset not installed");
    return [];
  }
  const place = await newFolder(bench);
  await seedChannel(place.dataDir, RECORDS.large);
  const built = buildPackage({ name: "twenty", version: "1.0", files: { "share/noise": randomBytes(19_000) } });
  let token = "";
  await withServerOn(bench, place, async (server) => {
    token = await createToken(bench, place.dataDir);
    await publish({ ...server, token }, built.fileName, built.bytes);
  });
  const loads: readonly Load[] = [
    { what: "GET 20 KB", run: getting(bench, `admin/main/noarch/${built.fileName}`) },
    { what: "GET repodata.json.zst", run: getting(bench, "admin/main/linux-64/repodata.json.zst") },
    { what: "publish, 8 clients", run: publishing(token) },
  ];
  const rows: Row[] = [];
  for (const { what, run } of loads) {
    const one = (): Promise<Sample> => sampleOf(bench, place, 1, run);
    const { a, b } = await byTurns(bench.runs, () => sampleOf(bench, place, 2, run), one);
    rows.push(...rowsOf(what, a, b));
  }
  return rows;
}

async function sampleOf(bench: Bench, place: ServerFolder, processes: number, run: Load["run"]): Promise<Sample> {
  const work = async (server: RunningServer): Promise<Sample> => {
    await run(server, WARM_UP);
    const before = (await server.cpuSeconds()) ?? Number.NaN;
    const { count, seconds } = await run(server, 1);
    const used = ((await server.cpuSeconds()) ?? Number.NaN) - before;
    return { perSecond: count / seconds, cpuMs: (1000 * used) / count };
  };
  return await withServerOn(bench, place, work, ["--processes", String(processes)]);
}

function getting(bench: Bench, path: string): Load["run"] {
  return async ({ url }, share) => {
    const seconds = Math.ceil(SECONDS * share);
    const load = { connections: CONNECTIONS, core: CLIENT_CORE, seconds };
    const { requestsPerSecond } = await getAgain(bench, `${url}/${path}`, load);
    return { count: requestsPerSecond * seconds, seconds };
  };
}

let series = 0;
function publishing(token: string): Load["run"] {
  return async ({ url }, share) => {
    series += 1;
    const packages = PACKAGES * share;
    const load = { url, token, clients: 8, packages, series: `several-${series}` };
    const { seconds } = published.parse(await runScript(import.meta.resolve("./publish-load.ts"), load));
    return { count: packages, seconds };
  };
}

function rowsOf(what: string, two: readonly Sample[], one: readonly Sample[]): Row[] {
  const row = (unit: string, of: (sample: Sample) => number): Row => ({
    what,
    unit,
    samples: two.map(of),
    peer: { name: "one process", samples: one.map(of) },
  });
  const isRead = what.startsWith("GET");
  return [
    {
      ...row("requests/s", ({ perSecond }) => perSecond),
      ...(isRead && { target: { of: "ratio", is: "at least", number: 1.4 } }),
    },
    {
      ...row("ms of CPU each", ({ cpuMs }) => cpuMs),
      ...(isRead && { target: { of: "ratio", is: "at most", number: 1.1 } }),
    },
  ];
}
