// Runs work in a separate process, so that the load of this process does not affect the measurement.

import { z } from "zod";

import { runScript } from "../processes.ts";

const outcomeShape = z.object({ result: z.unknown().optional(), failure: z.string().optional() });

/** Compressing the largest document at the highest level takes a quarter of an hour on a slow machine. */
const LIMIT_MS = 25 * 60_000;

/** Runs a script that responds with `answerParent`. Errors: the error of the script. */
export async function askChild<T>(script: string, load: object, shape: z.ZodType<T>): Promise<T> {
  const { result, failure } = outcomeShape.parse(await runScript(script, load, LIMIT_MS));
  if (failure !== undefined) throw new Error(failure);
  return shape.parse(result);
}

/** The main function of such a script: input from an argument, result to standard output, then it exits. */
export async function answerParent<T>(shape: z.ZodType<T>, work: (load: T) => Promise<object>): Promise<never> {
  const outcome = await work(shape.parse(JSON.parse(process.argv[2] ?? ""))).then(
    (result) => ({ result }),
    (error: unknown) => ({ failure: error instanceof Error ? error.message : String(error) }),
  );
  await Bun.write(Bun.stdout, `${JSON.stringify(outcome)}\n`);
  // Connections left open by a failure would keep the process running.
  process.exit(0);
}
