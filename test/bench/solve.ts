// `solve`: py-rattler solves for a version published just before, in a large channel with other publishers.

import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";

import { z } from "zod";

import { createMachine, haveClients, type Machine, python } from "../e2e/clients.ts";
import { buildPackage } from "../support/package-builder.ts";
import { type Bench, GB, type Measurement, seconds } from "./bench.ts";
import { seedChannel } from "./channel-seed.ts";
import { medianOf, type Row } from "./report.ts";
import { type MeasuredServer, publish, withServer } from "./server.ts";

const RECORDS = 100_000;
const ROUNDS = 20;
const SUBDIR = "linux-64";
const recordShape = z.object({ name: z.string(), version: z.string() });
const requestShape = z.object({ method: z.string(), path: z.string() });

export const solve: Measurement = { name: "solve", space: 2 * GB, measure };

async function measure(bench: Bench): Promise<readonly Row[]> {
  if (!(await haveClients())) {
    bench.leaveOut("solve", "there is no Python with the conda clients");
    return [];
  }
  return await withServer(bench, measureRounds, (dataDir) => seedChannel(dataDir, RECORDS));
}

async function measureRounds(server: MeasuredServer): Promise<readonly Row[]> {
  // One cache folder for all rounds, as on one machine.
  const machine = await createMachine();
  const end = new AbortController();
  const others = publishOthers(server, end.signal);
  try {
    const first = await solveOne(server, machine, 0);
    const rounds: Round[] = [];
    for (let version = 1; version <= ROUNDS; version += 1) rounds.push(await solveOne(server, machine, version));
    end.abort();
    const published = await others;
    // Without a spec to solve, the client requests nothing.
    const starts: number[] = [];
    while (starts.length < 5) starts.push(1000 * (await seconds(() => solveFor(server, machine))));
    const times = rounds.map(({ ms }) => ms);
    const all = { of: "value", is: "at least", number: ROUNDS } as const;
    return [
      { what: "rounds solved", unit: "", samples: [rounds.filter(({ isSolved }) => isSolved).length], target: all },
      { what: "first solve, for which all shards are made", unit: "ms", samples: [first.ms] },
      { what: "2xx to solved", unit: "ms", samples: times },
      { what: "the same without the start of Python", unit: "ms", samples: times.map((ms) => ms - medianOf(starts)) },
      { what: "start of Python", unit: "ms", samples: starts },
      { what: "publishes of another client meanwhile", unit: "", samples: [published] },
      ...(await requestRows(server)),
    ];
  } finally {
    end.abort();
    await machine.remove();
  }
}

type Round = { readonly isSolved: boolean; readonly ms: number };

async function solveOne(server: MeasuredServer, machine: Machine, version: number): Promise<Round> {
  await send(server, "wanted-lib", `${version}`);
  await send(server, "wanted", `${version}`, [`wanted-lib ==${version}`]);
  const started = performance.now();
  const records = await solveFor(server, machine, "wanted");
  const ms = performance.now() - started;
  const found = records.map((record) => `${record.name} ${record.version}`).join(", ");
  return { isSolved: found === `wanted ${version}, wanted-lib ${version}`, ms };
}

/** Publishes one after the other without a pause, until the signal; returns their number. */
async function publishOthers(server: MeasuredServer, signal: AbortSignal): Promise<number> {
  let count = 0;
  for (; !signal.aborted; count += 1) await send(server, `other-${count % 50}`, `${count}`);
  return count;
}

async function send(
  server: MeasuredServer,
  name: string,
  version: string,
  depends: readonly string[] = [],
): Promise<void> {
  const { fileName, bytes } = buildPackage({ name, version, subdir: SUBDIR, depends });
  await publish(server, fileName, bytes);
}

async function solveFor(
  { url }: MeasuredServer,
  machine: Machine,
  ...specs: readonly string[]
): Promise<z.infer<typeof recordShape>[]> {
  return await python("solve.py", [`${url}/admin/main`, ...specs], z.array(recordShape), machine);
}

/** The client's requests in the access log: shards, and no document with all of a subdir. */
async function requestRows({ dataDir }: MeasuredServer): Promise<Row[]> {
  const folder = dirname(dataDir);
  const logs = (await readdir(folder)).filter((name) => name.startsWith("log"));
  const texts = await Promise.all(logs.map((name) => readFile(join(folder, name), "utf8")));
  const lines = texts.flatMap((text) => text.split("\n").filter((line) => line.startsWith("{") && line.endsWith("}")));
  const paths = lines.flatMap((line) => {
    const request = requestShape.safeParse(JSON.parse(line));
    return request.success && request.data.method === "GET" ? [request.data.path] : [];
  });
  const rowOf = (what: string, part: string, is: "at least" | "at most", number: number): Row => ({
    what: `requests for ${what}`,
    unit: "",
    samples: [paths.filter((path) => path.includes(part)).length],
    target: { of: "value", is, number },
  });
  return [
    rowOf("the index of shards", `/${SUBDIR}/repodata_shards.msgpack.zst`, "at least", ROUNDS),
    // Each round changed two names.
    rowOf("shards", `/${SUBDIR}/shards/`, "at least", 2 * ROUNDS),
    rowOf("repodata.json", "/repodata.json", "at most", 0),
  ];
}
