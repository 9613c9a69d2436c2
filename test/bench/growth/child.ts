// Work in a process of its own, so that what this process does meanwhile is not measured.

import { z } from "zod";

import { runScript } from "../processes.ts";

const outcomeShape = z.object({ result: z.unknown().optional(), failure: z.string().optional() });

/** Compressing the largest document as well as can be takes a quarter of an hour on a slow machine. */
const LIMIT_MS = 25 * 60_000;

/** Runs a script that answers with `answerParent`. Errors: what went wrong there. */
export async function askChild<T>(script: string, load: object, shape: z.ZodType<T>): Promise<T> {
  const { result, failure } = outcomeShape.parse(await runScript(script, load, LIMIT_MS));
  if (failure !== undefined) throw new Error(failure);
  return shape.parse(result);
}

/** What such a script does: its load comes as an argument, its result goes to standard output, and then it ends. */
export async function answerParent<T>(shape: z.ZodType<T>, work: (load: T) => Promise<object>): Promise<never> {
  const outcome = await work(shape.parse(JSON.parse(process.argv[2] ?? ""))).then(
    (result) => ({ result }),
    (error: unknown) => ({ failure: error instanceof Error ? error.message : String(error) }),
  );
  await Bun.write(Bun.stdout, `${JSON.stringify(outcome)}\n`);
  // Connections that a failure left open would keep it running.
  process.exit(0);
}
