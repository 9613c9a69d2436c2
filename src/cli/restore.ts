// condarium restore

import { Command } from "commander";
import { configOf, failpointOf, withSettings } from "./options.ts";
import { EXIT, problemLine, when, type Output } from "./output.ts";
import { createProgressBar } from "./progress.ts";

type RestoreFlags = { readonly incomplete?: boolean; readonly json?: boolean };

export function restoreCommand(output: Output, result: { code: number }): Command {
  return withSettings(new Command("restore"), ["data"])
    .description("make an empty data folder what a backup holds; all of the backup is checked before")
    .argument("<source>", "the folder of a backup")
    .option("--incomplete", "restore the rest even if packages are missing or damaged")
    .option("--json", "print each problem as a line of JSON, and a last line with the numbers")
    .action(async (source: string, { incomplete = false, json = false }: RestoreFlags, command: Command) => {
      const [{ restore }, { systemClock }] = await Promise.all([
        import("../services/storage/restore.ts"),
        import("../modules/clock.ts"),
      ]);
      const loaded = configOf(command);
      const bar = createProgressBar();
      const summary = await restore({
        source,
        dataFolder: loaded.config.data,
        incomplete,
        clock: systemClock,
        failpoint: await failpointOf(loaded),
        onProblem: (problem) => {
          bar.stop();
          output.line(problemLine(problem, json));
        },
        onProgress: bar.update,
      }).finally(bar.stop);
      const { isRestored, created, packages, bytes, problems } = summary;
      if (json) output.line(JSON.stringify(summary));
      if (isRestored)
        output.note(
          `${packages} packages of ${bytes} bytes as of ${when(created)} are restored; ${problems} problems.`,
        );
      else
        output.note(
          `${problems} problems: nothing was restored. Where only packages are missing, --incomplete restores the rest.`,
        );
      if (problems > 0) result.code = EXIT.failed;
    });
}
