// `condarium` from the source, built with failpoints, as a process that will kill itself.

import { join } from "node:path";

const SOURCE = join(import.meta.dir, "../../src");
const MAIN = join(SOURCE, "main.ts");

/** `failpoints` as in `p4.renamed=kill@2`. */
export function spawnCrashing(
  args: readonly string[],
  failpoints: string | undefined,
): Bun.Subprocess<"ignore", "ignore", "pipe"> {
  return Bun.spawn([process.execPath, "--define", "CONDARIUM_FAILPOINTS_BUILD=true", MAIN, ...args], {
    env: failpoints === undefined ? {} : { CONDARIUM_TEST_FAILPOINTS: failpoints },
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

/** The names of all failpoints that a server on a disk reaches. */
export async function failpointsInSource(): Promise<string[]> {
  const isReached = (path: string): boolean => !path.startsWith("modules/storage/s3/");
  const names = new Set<string>();
  for await (const file of new Bun.Glob("**/*.ts").scan(SOURCE)) {
    if (!isReached(file)) continue;
    const text = await Bun.file(join(SOURCE, file)).text();
    for (const [, name = ""] of text.matchAll(/failpoint(?:\?\.)?\(\s*"([\w.]+)"/g)) names.add(name);
  }
  return [...names].toSorted();
}
