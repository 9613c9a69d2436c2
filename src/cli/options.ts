// Shared by the commands: the settings as flags, and the loaded configuration.

import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { chooseDatabase, loadConfig, SETTING_NAMES, SETTINGS, type LoadedConfig, type SettingName } from "../config.ts";
import { usage } from "../errors.ts";

export type Role = "reader" | "publisher" | "maintainer" | "owner";
export const ROLES: readonly Role[] = ["reader", "publisher", "maintainer", "owner"];

/** For an option that can be repeated. */
export function many(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** Where the data is. */
export const PLACE: readonly SettingName[] = ["data", "database", "storage"];

/** Adds the named settings as flags, and `--config`. */
export function withSettings(command: Command, names: readonly SettingName[]): Command {
  for (const name of names) {
    const setting = SETTINGS[name];
    if ("isSecret" in setting) continue;
    const suffix = setting.default === undefined || setting.default === "" ? "" : ` (default: ${setting.default})`;
    command.option(`--${name} ${setting.form}`, `${setting.help}${suffix}`);
  }
  return command.option("--config <file>", "read settings from this TOML file");
}

/** Gives the settings of a command their few values for completion only: their help texts name the values already. */
export function offerChoices(command: Command): void {
  for (const name of SETTING_NAMES) {
    const setting = SETTINGS[name];
    const option = command.options.find((candidate) => candidate.name() === name);
    if (option && "choices" in setting) option.argChoices = [...setting.choices];
  }
}

/** Loads the configuration with a command's flags; `flagNames` are those not called like their setting. */
export function configOf(command: Command, flagNames: Readonly<Record<string, string>> = {}): LoadedConfig {
  const options: Readonly<Record<string, unknown>> = command.optsWithGlobals();
  const flags: Record<string, string | undefined> = {};
  for (const name of SETTING_NAMES) {
    const value = options[camelCase(name)];
    if (typeof value === "string") flags[name] = value;
  }
  const file = typeof options.config === "string" ? { name: options.config, text: read(options.config) } : undefined;
  const loaded = loadConfig({ flags, flagNames, file });
  chooseDatabase(loaded.config);
  return loaded;
}

/** Undefined except in builds for crash tests. */
export async function failpointOf({ failpoints }: LoadedConfig): Promise<((name: string) => void) | undefined> {
  if (failpoints === undefined) return undefined;
  const { createFailpoints } = await import("../modules/failpoints.ts");
  return createFailpoints(failpoints);
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    throw usage(`Cannot read ${path}. --config must be a TOML file, for example condarium.toml.`);
  }
}

function camelCase(name: string): string {
  return name.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
