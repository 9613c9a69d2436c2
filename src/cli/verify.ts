// condarium verify

import { SingleBar } from "cli-progress";
import { Command } from "commander";
import type { Problem } from "../services/verify.ts";
import { withManagement } from "./management.ts";
import { withSettings } from "./options.ts";
import { EXIT, type Output } from "./output.ts";

type VerifyOptions = { readonly full?: boolean; readonly json?: boolean };

export function verifyCommand(output: Output, result: { code: number }): Command {
  return withSettings(new Command("verify"), ["data"])
    .description("check what is stored; safe beside a running server; exit code 1 when something is wrong")
    .option("--full", "also read every package and compare its hashes")
    .option("--json", "print each problem as a line of JSON")
    .action(async (options: VerifyOptions, command: Command) => {
      const bar = progressBar();
      const onProblem = (problem: Problem): void => {
        const { invariant, subject, message } = problem;
        output.line(options.json === true ? JSON.stringify(problem) : `${invariant}  ${subject}: ${message}`);
      };
      const summary = await withManagement(command, ({ verify }) =>
        verify({ level: options.full === true ? "full" : "quick", onProblem, onProgress: bar.update }),
      ).finally(bar.stop);
      output.note(`${summary.files} files, ${summary.blobs} blobs, ${summary.problems} problems.`);
      if (summary.problems > 0) result.code = EXIT.failed;
    });
}

function progressBar(): { update(done: number, total: number): void; stop(): void } {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} };
  const bar = new SingleBar({ stream: process.stderr, format: "{bar} {value}/{total} blobs, {eta_formatted} left" });
  let started = false;
  return {
    update: (done, total) => {
      if (!started) bar.start(total, 0);
      started = true;
      bar.update(done);
    },
    stop: () => bar.stop(),
  };
}
