// `backup`: the time of a first backup beside a plain copy of the folder, of the next one, and of a restore.

import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { output } from "../e2e/run.ts";
import { startTestApp } from "../support/app.ts";
import { noise } from "../support/noise.ts";
import { buildPackage } from "../support/package-builder.ts";
import { type Bench, GB, MB, type Measurement, seconds } from "./bench.ts";
import type { Row } from "./report.ts";

/** Few large packages and many small ones, as in channels: most are below 100 KB, most bytes are in large ones. */
const SIZES = [
  { packages: 50, bytes: 40 * MB },
  { packages: 300, bytes: 2 * MB },
  { packages: 1000, bytes: 0.05 * MB },
];

export const backup: Measurement = { name: "backup", space: 14 * GB, measure };

async function measure(bench: Bench): Promise<readonly Row[]> {
  const data = join(bench.room, "backup-data");
  await fill(data);
  const [first, next, copy, restore]: number[][] = [[], [], [], []];
  for (let run = 0; run < bench.runs; run += 1) {
    const [target, plain, restored] = ["target", "plain", "restored"].map((name) => join(bench.room, `backup-${name}`));
    if (!target || !plain || !restored) throw new Error("there are three");
    const backUp = () => seconds(() => output([...bench.command, "backup", target, "--data", data], LONG));
    const byHand = () => seconds(() => output(["cp", "-a", data, plain], LONG));
    // Unwritten data of one run must not slow the next.
    const turns = [async () => first?.push(await backUp()), async () => copy?.push(await byHand())];
    for (const turn of run % 2 === 0 ? turns : turns.toReversed()) {
      await output(["sync"], LONG);
      await turn();
    }
    await output(["sync"], LONG);
    next?.push(await backUp());
    restore?.push(await seconds(() => output([...bench.command, "restore", target, "--data", restored], LONG)));
    for (const folder of [target, plain, restored]) await rm(folder, { recursive: true });
  }
  await rm(data, { recursive: true });
  return rowsOf({ first: first ?? [], next: next ?? [], copy: copy ?? [], restore: restore ?? [] });
}

const LONG = { timeoutMs: 600_000 };

type Samples = {
  readonly first: number[];
  readonly next: number[];
  readonly copy: number[];
  readonly restore: number[];
};

function rowsOf({ first, next, copy, restore }: Samples): Row[] {
  const bytes = SIZES.reduce((sum, size) => sum + size.packages * size.bytes, 0) / MB;
  const rates = (samples: readonly number[]): number[] => samples.map((time) => bytes / time);
  return [
    {
      what: "first backup",
      unit: "MB/s",
      samples: rates(first),
      peer: { name: "cp -a", samples: rates(copy) },
      target: { of: "ratio", is: "at least", number: 0.5 },
    },
    {
      what: "next backup, of nothing new",
      unit: "s",
      samples: next,
      peer: { name: "the first", samples: first },
      target: { of: "ratio", is: "at most", number: 0.05 },
    },
    { what: "restore", unit: "MB/s", samples: rates(restore), peer: { name: "cp -a", samples: rates(copy) } },
  ];
}

async function fill(folder: string): Promise<void> {
  await mkdir(folder);
  const server = await startTestApp({ folder, settings: { "uploads-per-account": "1000" } });
  const user = await server.addUser("user");
  for (const { packages, bytes } of SIZES) {
    const files = { "share/noise": noise(bytes) };
    for (let at = 0; at < packages; at += 8) {
      const some = Array.from({ length: Math.min(8, packages - at) }, (_, index) =>
        buildPackage({ name: `p${bytes}-${at + index}`, version: "1", files }),
      );
      await Promise.all(
        some.map(async (built) => {
          const answer = await user.put(`/api/packages/user/conda/main/${built.fileName}`, built.bytes);
          if (answer.status !== 201) throw new Error(`a publish was answered ${answer.status}: ${await answer.text()}`);
        }),
      );
    }
  }
  await server.close();
}
