// condarium config show

import { Command } from "commander";
import { environmentName, SETTING_NAMES, shownValue } from "../config.ts";
import { configOf, withSettings } from "./options.ts";
import type { Output } from "./output.ts";

export function configCommand(output: Output): Command {
  const show = withSettings(new Command("show"), SETTING_NAMES)
    .description("print the settings in effect and the source of each value")
    .option("--json", "print JSON")
    .action((options: { json?: boolean }, command: Command) => {
      const { config, sources } = configOf(command);
      const rows = SETTING_NAMES.map((setting) => ({
        setting,
        value: shownValue(setting, config),
        source: sources[setting],
        environment: environmentName(setting),
      }));
      output.rows(rows, options.json === true);
    });
  return new Command("config").description("show the configuration").addCommand(show);
}
