// `start`: the time to an empty server's first response, the cost of `version`, and the size of the binary.

import { statSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { output } from "../e2e/run.ts";
import { type Bench, byTurns, GB, MB, type Measurement, seconds } from "./bench.ts";
import { freePort, startProcess } from "./processes.ts";
import type { Row } from "./report.ts";

/** Each is short, so there are more of them than of the long measurements. */
const TIMES = 7;

export const start: Measurement = { name: "start", space: 2 * GB, measure };

async function measure(bench: Bench): Promise<readonly Row[]> {
  const first: number[] = [];
  const times = bench.runs * TIMES;
  for (let run = 0; run < times; run += 1) first.push((await firstAnswer(bench, run)) * 1000);
  const empty = await emptyBinary(bench);
  const milliseconds = (command: readonly string[]) => async () => 1000 * (await seconds(() => output(command)));
  const { a, b } = await byTurns(times, milliseconds([...bench.command, "version"]), milliseconds([empty]));
  const above = a.map((time, at) => time - (b[at] ?? Number.NaN));
  return [
    { what: "start to first answer", unit: "ms", samples: first, target: { of: "value", is: "at most", number: 1000 } },
    { what: "version", unit: "ms", samples: a, peer: { name: "empty binary", samples: b } },
    {
      what: "version above the empty binary",
      unit: "ms",
      samples: above,
      target: { of: "value", is: "at most", number: 150 },
    },
    ...sizeOf(bench),
  ];
}

async function firstAnswer(bench: Bench, run: number): Promise<number> {
  const folder = join(bench.room, `start-${run}`);
  await mkdir(folder);
  const port = freePort();
  const command = [...bench.command, "serve", "--data", join(folder, "data"), "--listen", `127.0.0.1:${port}`];
  const started = performance.now();
  const process = startProcess(command, { cwd: folder, log: join(folder, "log") });
  try {
    while (!(await isLive(port))) {
      if (performance.now() - started > 20_000) throw new Error("the server does not answer");
      await Bun.sleep(2);
    }
    return (performance.now() - started) / 1000;
  } finally {
    await process.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function isLive(port: number): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${port}/health/live`).catch(() => undefined);
  return answer?.ok === true;
}

async function emptyBinary(bench: Bench): Promise<string> {
  const source = join(bench.room, "empty.ts");
  const binary = join(bench.room, "empty");
  await writeFile(source, "export {};\n");
  await output([process.execPath, "build", "--compile", "--minify", "--outfile", binary, source]);
  return binary;
}

function sizeOf({ command, leaveOut }: Bench): Row[] {
  const [binary] = command;
  if (binary === undefined || command.length > 1) {
    leaveOut("start: size of the binary", "the source is measured");
    return [];
  }
  const size = statSync(binary).size / MB;
  return [
    { what: "size of the binary", unit: "MB", samples: [size], target: { of: "value", is: "at most", number: 130 } },
  ];
}
