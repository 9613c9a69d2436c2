// condarium restore

import { Command } from "commander";
import { usage } from "../errors.ts";
import { configOf, failpointOf, withSettings } from "./options.ts";
import { EXIT, problemLine, when, type Output } from "./output.ts";
import { createProgressBar } from "./progress.ts";

type RestoreFlags = { readonly incomplete?: boolean; readonly json?: boolean };

export function restoreCommand(output: Output, result: { code: number }): Command {
  return withSettings(new Command("restore"), ["data"])
    .description("restore a backup into an empty data folder; checks the complete backup first")
    .argument("<source>", "folder of the backup")
    .option("--incomplete", "restore the intact packages even if others are missing or damaged")
    .option("--json", "print each problem and a final summary as a line of JSON")
    .action(async (source: string, { incomplete = false, json = false }: RestoreFlags, command: Command) => {
      const [{ restore }, { systemClock }] = await Promise.all([
        import("../services/storage/restore.ts"),
        import("../modules/clock.ts"),
      ]);
      const loaded = configOf(command);
      if (loaded.config.storage.kind !== "folder")
        throw usage("A backup can be restored into a data folder only: unset the setting storage.");
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
