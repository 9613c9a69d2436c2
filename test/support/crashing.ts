// `condarium` from the source, built with failpoints, as a process that will kill itself.

import { join } from "node:path";

const MAIN = join(import.meta.dir, "../../src/main.ts");

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
