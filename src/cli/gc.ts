// condarium gc

import { Command } from "commander";
import type { Collected } from "../services/storage/collect.ts";
import { withManagement } from "./management.ts";
import { configOf, PLACE, withSettings } from "./options.ts";
import type { Output } from "./output.ts";
import { createProgressBar } from "./progress.ts";

type GcOptions = { readonly dryRun?: boolean; readonly grace?: string; readonly json?: boolean };

export function gcCommand(output: Output): Command {
  return withSettings(new Command("gc"), [...PLACE, "audit-days"])
    .description("delete files that are no longer needed, to free space; safe beside a running server and a backup")
    .option("--dry-run", "report what would be deleted, delete nothing")
    .option(
      "--grace <time>",
      "how long to keep a package that no file refers to, for example 12h (default: setting gc-grace)",
    )
    .option("--json", "print each file and the final totals as a line of JSON")
    .action(async (options: GcOptions, command: Command) => {
      if (options.grace !== undefined) command.setOptionValue("gcGrace", options.grace);
      const { config } = configOf(command, { "gc-grace": "grace" });
      const graceMs = config["gc-grace"] * 1000;
      const auditMs = config["audit-days"] * 24 * 60 * 60 * 1000;
      const { dryRun = false, json = false } = options;
      const bar = createProgressBar();
      const onCollected = (collected: Collected): void => {
        bar.stop();
        if (json) output.line(JSON.stringify(collected));
      };
      const { totals, ...summary } = await withManagement(command, ({ gc }) =>
        gc({ graceMs, auditMs, dryRun, onCollected, onProgress: bar.update }),
      ).finally(bar.stop);
      if (json) output.line(JSON.stringify({ totals, ...summary, dryRun }));
      else output.rows(totals, false);
      for (const left of summary.left) output.note(`Left for the next run: ${left}.`);
      const { auditEvents } = summary;
      if (auditEvents > 0)
        output.note(`${auditEvents} old events of the audit trail ${dryRun ? "would be" : "were"} deleted.`);
      const database = summary.databaseBytes > 0 ? `, the database is ${summary.databaseBytes} bytes smaller` : "";
      output.note(`${summary.bytes} bytes ${dryRun ? "would be" : "were"} freed${database}.`);
    });
}
