// `bun run bench [names…] [--runs N] [--json FILE]`: the numbers of the design, measured on this machine over loopback.

import { mkdirSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, rm, statfs, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { BINARY, condariumCommand, fromSource } from "../e2e/server.ts";
import { output } from "../e2e/run.ts";
import { type Bench, GB, type Measurement } from "./bench.ts";
import { download } from "./download.ts";
import { stopAll } from "./processes.ts";
import { publish } from "./publish.ts";
import { repodata } from "./repodata.ts";
import { type Finding, findingOf, markdownTable } from "./report.ts";
import { start } from "./start.ts";
import { upload } from "./upload.ts";

const MEASUREMENTS: readonly Measurement[] = [upload, publish, download, repodata, start];
const CHECKOUT = join(import.meta.dir, "../..");
const CACHE = join(CHECKOUT, ".cache");
const names = MEASUREMENTS.map(({ name }) => name).join(", ");

const options = readOptions();
mkdirSync(CACHE, { recursive: true });
const room = await mkdtemp(join(CACHE, "bench-room-"));
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => void tidy().then(() => process.exit(130)));
try {
  const results = await measureAll({ room, runs: options.runs, command: await command(), leaveOut });
  await mkdir(dirname(options.json), { recursive: true });
  await writeFile(options.json, `${JSON.stringify(await documentOf(results), null, 2)}\n`);
  console.log(`\nwritten to ${options.json}`);
} finally {
  await tidy();
}

async function measureAll(bench: Bench): Promise<Map<string, readonly Finding[]>> {
  const results = new Map<string, readonly Finding[]>();
  for (const { name, space, measure } of MEASUREMENTS) {
    if (options.names.length > 0 && !options.names.includes(name)) continue;
    const free = await freeBytes();
    if (free < space) {
      leaveOut(name, `it needs ${space / GB} GB of free space in ${CACHE}, and there are ${(free / GB).toFixed(1)} GB`);
      continue;
    }
    console.log(`\n## ${name}\n`);
    const findings = (await measure(bench)).map(findingOf);
    results.set(name, findings);
    if (findings.length > 0) console.log(markdownTable(findings));
  }
  return results;
}

/** What was just built, as a copy that nobody replaces meanwhile; or the source, as for the tests. */
async function command(): Promise<readonly string[]> {
  if (fromSource) return condariumCommand();
  await output([process.execPath, "run", "build"], { cwd: CHECKOUT, env: { HOME: room }, timeoutMs: 300_000 });
  const binary = join(room, "condarium");
  await copyFile(BINARY, binary);
  return [binary];
}

async function documentOf(results: ReadonlyMap<string, readonly Finding[]>): Promise<object> {
  const commit = await output(["git", "rev-parse", "HEAD"], { cwd: CHECKOUT }).catch(() => "");
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, platform: process.platform, arch: process.arch };
  const at = new Date().toISOString();
  return { at, commit: commit.trim(), bun: Bun.version, machine, runs: options.runs, ...Object.fromEntries(results) };
}

function readOptions(): { names: string[]; runs: number; json: string } {
  try {
    const { values, positionals } = parseArgs({
      args: process.argv.slice(2),
      allowPositionals: true,
      options: { runs: { type: "string", default: "3" }, json: { type: "string", default: join(CACHE, "bench.json") } },
    });
    const unknown = positionals.find((name) => !MEASUREMENTS.some((measurement) => measurement.name === name));
    if (unknown !== undefined) throw new Error(`There is no measurement ${unknown}. There are: ${names}.`);
    const runs = Number(values.runs);
    if (!Number.isInteger(runs) || runs < 1 || runs > 20) throw new Error("--runs takes a number from 1 to 20.");
    return { names: positionals, runs, json: resolve(values.json) };
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    console.error("bun run bench [names…] [--runs N] [--json FILE]");
    process.exit(2);
  }
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
