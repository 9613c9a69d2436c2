// `bun run bench [names…] [options]`: the numbers of the design, measured on this machine over loopback.

import { mkdirSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rm, statfs, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { builtBinary, condariumCommand, fromSource } from "../e2e/server.ts";
import { output } from "../e2e/run.ts";
import { backup } from "./backup.ts";
import { type Bench, GB, type Measurement } from "./bench.ts";
import { download } from "./download.ts";
import { gzip } from "./gzip.ts";
import { growth } from "./growth/index.ts";
import { stopAll } from "./processes.ts";
import { publish } from "./publish.ts";
import { repodata } from "./repodata.ts";
import { type Finding, findingOf, markdownTables } from "./report.ts";
import { several } from "./several.ts";
import { scale } from "./scale.ts";
import { solve } from "./solve.ts";
import { start } from "./start.ts";
import { upload } from "./upload.ts";

type Options = {
  readonly names: readonly string[];
  readonly runs: number;
  readonly records: number;
  readonly json: string;
  readonly svg: string;
  readonly binary: string | undefined;
};

const MEASUREMENTS: readonly Measurement[] = [
  upload,
  publish,
  download,
  repodata,
  gzip,
  several,
  scale,
  start,
  solve,
  backup,
  growth,
];
const CHECKOUT = join(import.meta.dir, "../..");
const CACHE = join(CHECKOUT, ".cache");
const names = MEASUREMENTS.map(({ name }) => name).join(", ");
const HELP = `bun run bench [names…] [--runs N] [--records N] [--json FILE] [--svg FILE] [--binary FILE]
  names            ${names}; all of them unless given
  --runs N         how often each is measured, 1 to 20; 3 unless given
  --records N      growth leaves out channels with more records than this; 1000000 unless given
  --json FILE      where the numbers go; .cache/bench.json unless given
  --svg FILE       where the chart of growth goes; .cache/bench.svg unless given
  --binary FILE    measures this program instead of building one`;

const options = readOptions();
mkdirSync(CACHE, { recursive: true });
const room = await mkdtemp(join(CACHE, "bench-room-"));
const interrupted = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    console.error(`interrupted by ${signal}`);
    interrupted.abort();
    void tidy().finally(() => process.exit(130));
  });
}
try {
  const { runs, records } = options;
  const about = await aboutThis();
  const results = await measureAll({ room, runs, records, command: await command(), leaveOut }, describe(about));
  const document = { ...about, runs, ...Object.fromEntries(results) };
  if (!interrupted.signal.aborted) await writeOut(options.json, `${JSON.stringify(document, null, 2)}\n`);
} finally {
  await tidy();
}

async function measureAll(bench: Bench, about: string): Promise<Map<string, readonly Finding[]>> {
  const results = new Map<string, readonly Finding[]>();
  for (const { name, space, measure, chart } of MEASUREMENTS) {
    if (options.names.length > 0 && !options.names.includes(name)) continue;
    const free = await freeBytes();
    const wanted = typeof space === "number" ? space : space(bench.records);
    if (free < wanted) {
      const [needs, has] = [wanted, free].map((bytes) => `${(bytes / GB).toFixed(1)} GB`);
      leaveOut(name, `it needs ${needs} of free space in ${CACHE}, and there are ${has}`);
      continue;
    }
    console.log(`\n## ${name}\n`);
    const findings = (await measure(bench)).map(findingOf);
    // Without its servers a result is meaningless.
    if (interrupted.signal.aborted) break;
    results.set(name, findings);
    if (findings.length > 0) console.log(markdownTables(findings));
    if (chart && findings.length > 0) await writeOut(options.svg, chart(findings, about));
  }
  return results;
}

/** The program to measure, as a copy that nobody replaces meanwhile; or the source, for the tests. */
async function command(): Promise<readonly string[]> {
  if (fromSource) return condariumCommand();
  if (options.binary === undefined)
    await output([process.execPath, "run", "build"], { cwd: CHECKOUT, env: { HOME: room }, timeoutMs: 300_000 });
  const binary = join(room, "condarium");
  await copyFile(options.binary ?? builtBinary(), binary);
  return [binary];
}

async function aboutThis() {
  const commit = await output(["git", "rev-parse", "HEAD"], { cwd: CHECKOUT }).catch(() => "");
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, platform: process.platform, arch: process.arch };
  return { at: new Date().toISOString(), commit: commit.trim(), bun: Bun.version, machine };
}

/** As one line, without the time of day. */
function describe({ at, commit, machine }: Awaited<ReturnType<typeof aboutThis>>): string {
  const parts = [at.slice(0, 10), commit.slice(0, 12), `${machine.cores} cores`, machine.cpu ?? ""];
  return parts.filter((part) => part !== "").join(", ");
}

function readOptions(): Options {
  try {
    const { values, positionals } = parseArgs({
      args: process.argv.slice(2),
      allowPositionals: true,
      options: {
        runs: { type: "string", default: "3" },
        records: { type: "string", default: "1000000" },
        json: { type: "string", default: join(CACHE, "bench.json") },
        svg: { type: "string", default: join(CACHE, "bench.svg") },
        binary: { type: "string" },
      },
    });
    const unknown = positionals.find((name) => !MEASUREMENTS.some((measurement) => measurement.name === name));
    if (unknown !== undefined) throw new Error(`There is no measurement ${unknown}. There are: ${names}.`);
    const [runs, records] = [Number(values.runs), Number(values.records)];
    if (!Number.isInteger(runs) || runs < 1 || runs > 20) throw new Error("--runs takes a number from 1 to 20.");
    if (!Number.isInteger(records) || records < 100) throw new Error("--records takes a number from 100.");
    const binary = values.binary === undefined ? undefined : resolve(values.binary);
    return { names: positionals, runs, records, json: resolve(values.json), svg: resolve(values.svg), binary };
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    console.error(HELP);
    process.exit(2);
  }
}

async function writeOut(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  console.log(`\nwritten to ${path}`);
}

async function freeBytes(): Promise<number> {
  const { bavail, bsize } = await statfs(CACHE);
  return bavail * bsize;
}

async function tidy(): Promise<void> {
  await stopAll();
  await rm(room, { recursive: true, force: true });
}

function leaveOut(what: string, why: string): void {
  console.log(`left out: ${what}: ${why}`);
}
