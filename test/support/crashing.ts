// `condarium` from the source, built with failpoints, as a process that will kill itself.

import { join } from "node:path";
import { isInBucket } from "./engines.ts";

const SOURCE = join(import.meta.dir, "../../src");
const MAIN = join(SOURCE, "main.ts");

/** `failpoints` as in `p4.renamed=kill@2`; `environment` is that of the engines. */
export function spawnCrashing(
  args: readonly string[],
  failpoints: string | undefined,
  environment: Readonly<Record<string, string>> = {},
): Bun.Subprocess<"ignore", "ignore", "pipe"> {
  return Bun.spawn([process.execPath, "--define", "CONDARIUM_FAILPOINTS_BUILD=true", MAIN, ...args], {
    env: { ...environment, ...(failpoints === undefined ? {} : { CONDARIUM_TEST_FAILPOINTS: failpoints }) },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
}

/** The prefix of a command that gives `condarium` from the source failpoints. */
export function withFailpoints(failpoints: string): string[] {
  const options = "BUN_OPTIONS=--define CONDARIUM_FAILPOINTS_BUILD=true";
  return ["env", options, `CONDARIUM_TEST_FAILPOINTS=${failpoints}`];
}

/** How a blob is put in place, on the disk and in a bucket. */
const [ON_DISK, IN_BUCKET] = [["p4.renamed", "p5.dir_fsynced"], ["p4.stored"]];
export const PROMOTION = isInBucket ? IN_BUCKET : ON_DISK;
const NOT_REACHED = isInBucket ? ON_DISK : IN_BUCKET;

/** The names of all failpoints that a server reaches. */
export async function failpointsInSource(): Promise<string[]> {
  const names = new Set<string>();
  for await (const file of new Bun.Glob("**/*.ts").scan(SOURCE)) {
    const text = await Bun.file(join(SOURCE, file)).text();
    for (const [, name = ""] of text.matchAll(/failpoint(?:\?\.)?\(\s*"([\w.]+)"/g)) names.add(name);
  }
  return [...names].filter((name) => !NOT_REACHED.includes(name)).toSorted();
}
