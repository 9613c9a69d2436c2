// How a server starts one of its processes, and what the two tell each other first.

import { z } from "zod";
import type { Config } from "../config.ts";

export const PROCESS_COMMAND = "serve-process";

/** What a process asks its parent for before it does anything. */
export const processStart = z.object({
  // The parent has checked the settings; a file that has changed since must not give one process others.
  config: z.custom<Config>((value) => typeof value === "object" && value !== null && "listen" in value),
  slot: z.int(),
  failpoints: z.string().optional(),
  /** The id of the parent process. */
  parent: z.int(),
});
export type ProcessStart = z.infer<typeof processStart>;

/** The command that runs this program again: a compiled binary contains its own script. */
export function processCommand(): string[] {
  return [process.execPath, ...(Bun.isStandaloneExecutable ? [] : [Bun.main]), PROCESS_COMMAND];
}
