// In 768 MiB, whatever is stored and requested, the server survives and other clients notice little. Each attack alone,
// then all at once; `bun run nightly adversarial` prints a line for each, `bun test` with `-t gzip` runs one.

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { percentile } from "../bench/report.ts";
import { runScript } from "../bench/processes.ts";
import { output } from "../e2e/run.ts";
import { leaveOut } from "../support/left-out.ts";
import { ATTACKS, type Attack, type Target } from "./adversarial/attacks.ts";
import { bystanderResult, type BystanderResult, type BystanderWork } from "./adversarial/bystander.ts";
import { startConfined, type Confined } from "./adversarial/confined.ts";

setDefaultTimeout(1_800_000);

const MIB = 1024 ** 2;
const MEMORY = 768 * MIB;
const LIMIT_MS = 250;
const ALONE_SECONDS = 10;
const TOGETHER_SECONDS = 60;
const MEMORY_ATTACKS = ["gzip", "small", "documents", "members", "connections"];

let server: Confined | undefined;
let packages: string;
let runs = 0;
const prepared = new Set<Attack>();

beforeAll(async () => {
  packages = await mkdtemp(join(tmpdir(), "condarium-hostile-"));
  const script = join(import.meta.dir, "adversarial/build_packages.py");
  await output(["python3", script, packages], { timeoutMs: 600_000 });
});
afterAll(async () => {
  await server?.stop();
  await rm(packages, { recursive: true, force: true });
});

/** A new server when the last one did not survive. */
async function livingServer(): Promise<Confined | undefined> {
  if (server?.isAlive() === true) return server;
  await server?.stop();
  prepared.clear();
  server = await startConfined(MEMORY);
  if (!server) leaveOut("the adversarial run", "no group of processes with a limit of memory can be made here");
  return server;
}

type Outcome = BystanderResult & { readonly peak: number; readonly resident: number; readonly isAlive: boolean };

async function attack(attacks: readonly Attack[], seconds: number): Promise<Outcome | undefined> {
  const confined = await livingServer();
  if (!confined) return undefined;
  const target: Target = { ...confined, token: confined.tokens.mallory, packages };
  for (const one of attacks) {
    if (!prepared.has(one)) await one.prepare(target);
    prepared.add(one);
  }
  confined.cgroup.forgetPeak();
  let isOver = false;
  let resident = confined.resident();
  const sampling = setInterval(() => (resident = Math.max(resident, confined.resident())), 50);
  const running = attacks.map((one) => one.run(target, () => isOver || !confined.isAlive()));
  await Bun.sleep(1000);
  runs += 1;
  const work: BystanderWork = { url: confined.url, token: confined.tokens.alice, seconds, tag: String(runs) };
  const script = import.meta.resolve("./adversarial/bystander.ts");
  const result = bystanderResult.parse(await runScript(script, work));
  isOver = true;
  await Promise.allSettled(running);
  clearInterval(sampling);
  return { ...result, resident, peak: confined.cgroup.peak() ?? Number.NaN, isAlive: confined.isAlive() };
}

function report(what: string, { publishes, reads, failures, slowest, peak, resident, isAlive }: Outcome): void {
  const times = (of: readonly number[]): string =>
    `${of.length} (ms: p50 ${percentile(of, 50).toFixed(0)}, p99 ${percentile(of, 99).toFixed(0)}, most ${Math.max(...of).toFixed(0)})`;
  const memory = `resident ${(resident / MIB).toFixed(0)} MiB, group ${(peak / MIB).toFixed(0)} MiB`;
  console.log(
    `${what}\n  publishes ${times(publishes)}, reads ${times(reads)}, failed ${failures.length}; ${memory}; ${isAlive ? "alive" : "DEAD"}`,
  );
  const slow = slowest.map((one) => `${one.what} ${one.ms.toFixed(0)} (at ${(one.at / 1000).toFixed(1)} s)`);
  console.log(`  slowest, ms: ${slow.join(", ")}`);
  if (failures.length > 0) console.log(`  ${[...new Set(failures)].slice(0, 5).join("\n  ")}`);
}

function check(what: string, outcome: Outcome | undefined): void {
  if (!outcome) return;
  report(what, outcome);
  expect([what, outcome.isAlive]).toEqual([what, true]);
  expect([what, outcome.failures]).toEqual([what, []]);
  expect(percentile([...outcome.publishes, ...outcome.reads], 99)).toBeLessThanOrEqual(LIMIT_MS);
}

describe("the server lives in 768 MiB, and another client's p99 stays under 250 ms", () => {
  test("with no attack", async () => {
    check("quiet", await attack([], ALONE_SECONDS));
  });
  for (const one of ATTACKS) {
    test(`alone under the attack ${one.name}`, async () => {
      check(one.name, await attack([one], ALONE_SECONDS));
    });
  }
  test("under all attacks on memory and 1,000 connections", async () => {
    const isOne = ({ name }: Attack): boolean => MEMORY_ATTACKS.some((word) => name.startsWith(`${word}:`));
    check("memory", await attack(ATTACKS.filter(isOne), TOGETHER_SECONDS));
  });
  test("under all attacks at once", async () => {
    check("all at once", await attack(ATTACKS, TOGETHER_SECONDS));
  });
});
