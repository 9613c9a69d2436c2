// Runs commands one after another, shows their output, and counts passed and failed tests.

import { rm } from "node:fs/promises";
import { join } from "node:path";

export type Step = { readonly name: string; readonly command: readonly string[]; readonly countsTests?: boolean };

type Tally = { passed: number; failed: number };

const ROOT = join(import.meta.dir, "..", "..");
/** Tests that leave a part out report it with such lines. */
const LEFT_OUT = join(ROOT, ".cache", "left-out.txt");

/** Runs all steps, also after failures. The last line is `N passed, N failed`; the exit code is 1 after a failure. */
export async function runSteps(steps: readonly Step[]): Promise<void> {
  const tally: Tally = { passed: 0, failed: 0 };
  await rm(LEFT_OUT, { force: true });
  for (const step of steps) await runStep(step, tally);
  for (const line of new Set(await leftOut())) console.log(`left out: ${line}`);
  console.log(`${tally.passed} passed, ${tally.failed} failed`);
  process.exitCode = tally.failed > 0 ? 1 : 0;
}

async function runStep(step: Step, into: Tally): Promise<void> {
  console.log(`\n== ${step.name}`);
  const started = performance.now();
  const child = Bun.spawn([...step.command], { cwd: ROOT, stdout: "pipe", stderr: "pipe", stdin: "ignore" });
  const [code, out, err] = await Promise.all([child.exited, relay(child.stdout), relay(child.stderr)]);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`== ${step.name}: ${code === 0 ? "ok" : `failed with ${code}`} in ${seconds} s`);
  const counted = step.countsTests === true ? countTests(`${out}\n${err}`) : { passed: Number(code === 0), failed: 0 };
  into.passed += counted.passed;
  // A runner that exits with an error and names no failure has failed all the same.
  into.failed += Math.max(counted.failed, Number(code !== 0));
}

/** Shows the output of a step as it is written, and keeps it. */
async function relay(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    const part = decoder.decode(chunk, { stream: true });
    text += part;
    process.stdout.write(part);
  }
  return text;
}

function countTests(output: string): Tally {
  const last = (word: string): number =>
    Number([...output.matchAll(new RegExp(`^\\s*(\\d+) ${word}$`, "gm"))].at(-1)?.[1] ?? 0);
  return { passed: last("pass"), failed: last("fail") };
}

async function leftOut(): Promise<string[]> {
  const file = Bun.file(LEFT_OUT);
  if (!(await file.exists())) return [];
  return (await file.text()).split("\n").filter((line) => line !== "");
}
