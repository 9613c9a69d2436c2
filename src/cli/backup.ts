// condarium backup

import { Command } from "commander";
import { withManagement } from "./management.ts";
import { PLACE, withSettings } from "./options.ts";
import { EXIT, problemLine, when, type Output } from "./output.ts";
import { createProgressBar } from "./progress.ts";

export function backupCommand(output: Output, result: { code: number }): Command {
  return withSettings(new Command("backup"), PLACE)
    .description(
      "back up everything that cannot be rebuilt; safe beside a running server; exit code 1 when something is damaged",
    )
    .argument("<target>", "empty folder, or folder of an earlier backup, which gets only the new files")
    .option("--json", "print each problem and a final summary as a line of JSON")
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
      if (json) output.line(JSON.stringify({ ...summary, created: when(created) }));
      const changes = `${copiedFiles} files (${copiedBytes} bytes) copied, ${removedFiles} removed`;
      output.note(`${packages} packages (${bytes} bytes) as of ${when(created)}; ${changes}; ${problems} problems.`);
      if (problems > 0) result.code = EXIT.failed;
    });
}
