// What commands share: the settings as flags, and the loaded configuration.

import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { loadConfig, SETTING_NAMES, SETTINGS, type LoadedConfig, type SettingName } from "../config.ts";
import { usage } from "../errors.ts";

/** Adds the named settings as flags, and `--config`. */
export function withSettings(command: Command, names: readonly SettingName[]): Command {
  for (const name of names) {
    const setting = SETTINGS[name];
    const given = setting.default === undefined || setting.default === "" ? "" : ` (default: ${setting.default})`;
    command.option(`--${name} <value>`, `${setting.help}${given}`);
  }
  return command.option("--config <file>", "TOML file with settings");
}

/** The configuration for a command's flags. */
export function configOf(command: Command): LoadedConfig {
  const options: Readonly<Record<string, unknown>> = command.optsWithGlobals();
  const flags: Record<string, string | undefined> = {};
  for (const name of SETTING_NAMES) {
    const value = options[camelCase(name)];
    if (typeof value === "string") flags[name] = value;
  }
  const file = typeof options.config === "string" ? { name: options.config, text: read(options.config) } : undefined;
  return loadConfig({ flags, file });
}

/** Only in builds that are made for crash tests. */
export async function failpointOf({ failpoints }: LoadedConfig): Promise<((name: string) => void) | undefined> {
  if (failpoints === undefined) return undefined;
  const { createFailpoints } = await import("../modules/failpoints.ts");
  return createFailpoints(failpoints);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    throw usage(`The configuration file ${path} cannot be read.`);
  }
}

function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
