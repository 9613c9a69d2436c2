// condarium backup

import { Command } from "commander";
import { withManagement } from "./management.ts";
import { withSettings } from "./options.ts";
import { EXIT, problemLine, when, type Output } from "./output.ts";
import { createProgressBar } from "./progress.ts";

export function backupCommand(output: Output, result: { code: number }): Command {
  return withSettings(new Command("backup"), ["data"])
    .description(
      "copy everything that cannot be made again to a folder, beside a running server; the next time only what is new; exit code 1 when something is damaged",
    )
    .argument("<target>", "an empty folder, or one of an earlier backup")
    .option("--json", "print each problem as a line of JSON, and a last line with the numbers")
    .action(async (target: string, { json = false }: { readonly json?: boolean }, command: Command) => {
      const bar = createProgressBar();
      const summary = await withManagement(command, ({ backup }) =>
        backup({
          target,
          onProblem: (problem) => {
            bar.stop();
            output.line(problemLine(problem, json));
          },
          onProgress: bar.update,
        }),
      ).finally(bar.stop);
      const { created, packages, bytes, copiedFiles, copiedBytes, removedFiles, problems } = summary;
      if (json) output.line(JSON.stringify(summary));
      const copied = `${copiedFiles} files of ${copiedBytes} bytes were copied, ${removedFiles} removed`;
      output.note(`${packages} packages of ${bytes} bytes as of ${when(created)}; ${copied}; ${problems} problems.`);
      if (problems > 0) result.code = EXIT.failed;
    });
}
