// `bun run nightly [WORD]...`: the tests that are too slow for `check`. Runs each `*.nightly.ts` here whose name
// contains one of the words, or all of them, in a separate process. Ends with one line `N passed, N failed`.

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
