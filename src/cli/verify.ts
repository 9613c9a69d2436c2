// condarium verify

import { Command } from "commander";
import type { Problem, VerifyLevel } from "../services/verify.ts";
import { withManagement } from "./management.ts";
import { withSettings } from "./options.ts";
import { EXIT, type Output } from "./output.ts";
import { createProgressBar } from "./progress.ts";

type VerifyOptions = { readonly full?: boolean; readonly deep?: boolean; readonly json?: boolean };

export function verifyCommand(output: Output, result: { code: number }): Command {
  return withSettings(new Command("verify"), ["data"])
    .description("check what is stored; safe beside a running server; exit code 1 when something is wrong")
    .option("--full", "also read every package and compare its hashes")
    .option("--deep", "all of that, and make every document from nothing and read it back")
    .option("--json", "print each problem as a line of JSON")
    .action(async (options: VerifyOptions, command: Command) => {
      const bar = createProgressBar();
      const onProblem = (problem: Problem): void => {
        const { invariant, subject, message } = problem;
        bar.stop();
        output.line(options.json === true ? JSON.stringify(problem) : `${invariant}  ${subject}: ${message}`);
      };
      const summary = await withManagement(command, ({ verify }) =>
        verify({ level: levelOf(options), onProblem, onProgress: bar.update }),
      ).finally(bar.stop);
      output.note(`${summary.files} files, ${summary.blobs} blobs, ${summary.problems} problems.`);
      if (summary.problems > 0) result.code = EXIT.failed;
    });
}

function levelOf({ full, deep }: VerifyOptions): VerifyLevel {
  if (deep === true) return "deep";
  return full === true ? "full" : "quick";
}
