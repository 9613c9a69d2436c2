// A command line in this process, on the engine that the tests run on.

import { run } from "../../src/cli/index.ts";
import type { Output } from "../../src/cli/output.ts";
import { enginesOf } from "./engines.ts";

/** Runs a command of the node whose folder follows `--data`, as its operator would: the environment names the engine. */
export async function runHere(args: readonly string[], output?: Output): Promise<number> {
  const at = args.indexOf("--data");
  const { environment } = await enginesOf(at === -1 ? "" : (args[at + 1] ?? ""));
  const before = { ...process.env };
  Object.assign(process.env, environment);
  try {
    return await run(args, output);
  } finally {
    // A command hands its database to the models in the environment.
    for (const name of Object.keys(environment)) delete process.env[name];
    Object.assign(process.env, before);
  }
}
