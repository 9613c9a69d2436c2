// condarium verify

import { join } from "node:path";
import { Command } from "commander";
import { chooseDatabase } from "../config.ts";
import type { CheckParts } from "../services/storage/check-backup.ts";
import { INVARIANTS } from "../services/storage/invariants.ts";
import type { Problem, VerifyLevel } from "../services/storage/verify.ts";
import { withManagement } from "./management.ts";
import { PLACE, withSettings } from "./options.ts";
import { EXIT, problemLine, type Output } from "./output.ts";
import { createProgressBar } from "./progress.ts";

type VerifyOptions = {
  readonly full?: boolean;
  readonly deep?: boolean;
  readonly backup?: string;
  readonly json?: boolean;
};

export function verifyCommand(output: Output, result: { code: number }): Command {
  return withSettings(new Command("verify"), PLACE)
    .description("check what is stored; safe beside a running server; exit code 1 when something is wrong")
    .option("--full", "also read every package and compare its hashes")
    .option("--deep", "all of that, and make every document from nothing and read it back")
    .option("--backup <folder>", "check a backup instead, all of it")
    .option("--json", "print each problem as a line of JSON")
    .action(async (options: VerifyOptions, command: Command) => {
      const bar = createProgressBar();
      const violated = new Set<string>();
      const onProblem = (problem: Problem): void => {
        bar.stop();
        violated.add(problem.invariant);
        output.line(problemLine(problem, options.json === true));
      };
      if (options.backup !== undefined) {
        const check = verifyBackup({ source: options.backup, onProblem, onProgress: bar.update });
        const problems = await check.finally(bar.stop);
        if (problems > 0) result.code = EXIT.failed;
        if (options.json !== true) explain(output, violated);
        return output.note(`${options.backup}: ${problems} problems.`);
      }
      const summary = await withManagement(command, ({ verify }) =>
        verify({ level: levelOf(options), onProblem, onProgress: bar.update }),
      ).finally(bar.stop);
      if (options.json !== true) explain(output, violated);
      output.note(`${summary.files} files, ${summary.blobs} blobs, ${summary.problems} problems.`);
      if (summary.problems > 0) result.code = EXIT.failed;
    });
}

/** In a scratch place, so that it works on any machine, and from a medium that cannot be written. Answers the problems. */
async function verifyBackup(parts: Pick<CheckParts, "source" | "onProblem" | "onProgress">): Promise<number> {
  // Needs no database: the rows are loaded into a file, whatever the settings say.
  chooseDatabase({ database: undefined });
  const [{ checkBackup }, { systemClock }, { mkdtemp, rm }, { tmpdir }] = await Promise.all([
    import("../services/storage/check-backup.ts"),
    import("../modules/clock.ts"),
    import("node:fs/promises"),
    import("node:os"),
  ]);
  const scratch = await mkdtemp(join(tmpdir(), "condarium-backup-"));
  try {
    return await checkBackup({ ...parts, clock: systemClock, database: join(scratch, "condarium.db") });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** Explains the codes that occurred. */
function explain(output: Output, violated: ReadonlySet<string>): void {
  if (violated.size === 0) return;
  output.note("Violated invariants:");
  for (const [code, text] of Object.entries(INVARIANTS)) if (violated.has(code)) output.note(`  ${code}  ${text}`);
}

function levelOf({ full, deep }: VerifyOptions): VerifyLevel {
  if (deep === true) return "deep";
  return full === true ? "full" : "quick";
}
