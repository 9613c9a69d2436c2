// condarium restore

import { Command } from "commander";
import { configOf, failpointOf, PLACE, withSettings } from "./options.ts";
import { EXIT, problemLine, when, type Output } from "./output.ts";
import { createProgressBar } from "./progress.ts";

type RestoreFlags = { readonly incomplete?: boolean; readonly json?: boolean };

export function restoreCommand(output: Output, result: { code: number }): Command {
  return withSettings(new Command("restore"), PLACE)
    .description("restore a backup into an empty data folder, database and storage; checks the complete backup first")
    .argument("<source>", "folder of the backup")
    .option("--incomplete", "restore the intact packages even if others are missing or damaged")
    .option("--json", "print each problem and a final summary as a line of JSON")
    .action(async (source: string, { incomplete = false, json = false }: RestoreFlags, command: Command) => {
      // First of all, because the models choose their tables when they are imported.
      const loaded = configOf(command);
      const [{ restore }, { systemClock }, { openEmptyBlobs }] = await Promise.all([
        import("../services/storage/restore.ts"),
        import("../modules/clock.ts"),
        import("../stores.ts"),
      ]);
      const bar = createProgressBar();
      const summary = await restore({
        source,
        dataFolder: loaded.config.data,
        databaseUrl: loaded.config.database,
        incomplete,
        clock: systemClock,
        openBlobs: (root) => openEmptyBlobs(loaded.config, root),
        failpoint: await failpointOf(loaded),
        onProblem: (problem) => {
          bar.stop();
          output.line(problemLine(problem, json));
        },
        onProgress: bar.update,
      }).finally(bar.stop);
      const { isRestored, created, packages, bytes, problems } = summary;
      if (json) output.line(JSON.stringify({ ...summary, created: when(created) }));
      if (isRestored)
        output.note(`${packages} packages (${bytes} bytes) as of ${when(created)} restored; ${problems} problems.`);
      else
        output.note(
          `${problems} problems: nothing was restored. ` +
            `If only packages are missing or damaged, --incomplete restores the others.`,
        );
      if (problems > 0) result.code = EXIT.failed;
    });
}
