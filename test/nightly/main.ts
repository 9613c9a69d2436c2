// `bun run nightly [WORD]...`: what takes longer than `check` may. Each `*.nightly.ts` here whose name has one of the words,
// or every one, runs in a process of its own. Ends with one line `N passed, N failed`.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { runSteps } from "../support/steps.ts";

const bun = process.execPath;
const words = process.argv.slice(2);
const ending = ".nightly.ts";
const files = (await readdir(import.meta.dir)).filter((file) => file.endsWith(ending)).toSorted();
const wanted = files.filter((file) => words.length === 0 || words.some((word) => file.includes(word)));

await runSteps([
  { name: "build", command: [bun, "run", "build"] },
  ...wanted.map((file) => ({
    name: file.slice(0, -ending.length),
    command: [bun, "test", "--timeout", "7200000", join(import.meta.dir, file)],
    countsTests: true,
  })),
]);
