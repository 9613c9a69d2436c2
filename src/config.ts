// All settings, and the only reader of the environment. Precedence: flags, environment, file, defaults.

import { z } from "zod";
import { usage } from "./errors.ts";
import { shownUrl } from "./models/postgres/url.ts";
import { pathOf } from "./modules/http/url.ts";
import { storageUrl } from "./modules/storage/description.ts";
import { SETTINGS, type Config, type Setting, type SettingName } from "./settings.ts";

export { SETTINGS, type Config, type SettingName } from "./settings.ts";

/** The owner name that the path of the base URL takes; undefined when it has no path. */
export function reservedOwner(publicUrl: string): string | undefined {
  return pathOf(publicUrl).split("/")[1]?.toLowerCase();
}

export type ConfigSource = "flag" | "environment" | "file" | "default" | "unset";
export type LoadedConfig = {
  readonly config: Config;
  /** The source of each value. */
  readonly sources: Readonly<Record<string, ConfigSource>>;
  /** Only in builds for crash tests. */
  readonly failpoints: string | undefined;
};

export type ConfigInput = {
  readonly flags: Readonly<Record<string, string | undefined>>;
  /** Flags that are not called like their setting, for messages: `gc-grace` is `grace` in `condarium gc`. */
  readonly flagNames?: Readonly<Record<string, string>>;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** TOML text of the file of `--config`, with its path for messages. */
  readonly file?: { readonly name: string; readonly text: string } | undefined;
};

declare const CONDARIUM_FAILPOINTS_BUILD: boolean;

type DatabaseSetting = { readonly database: string | undefined };

/** Hands the database to the models, which choose their tables when they are imported: call it before that. */
export function chooseDatabase({ database }: DatabaseSetting): void {
  if (database === undefined) delete process.env["CONDARIUM_DATABASE"];
  else process.env["CONDARIUM_DATABASE"] = database;
}

/** The environment of a thread, whose models choose their tables as well. */
export function threadEnvironment({ database }: DatabaseSetting): Record<string, string> {
  const variables = Object.entries({ ...process.env, CONDARIUM_DATABASE: database });
  return Object.fromEntries(variables.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** Errors: `usage` with the flag, variable or key, the rule of the setting, and a valid value. */
export function loadConfig(input: ConfigInput): LoadedConfig {
  const environment = input.environment ?? process.env;
  const file = input.file ? parseFile(input.file) : {};
  refuseUnknown(environment);
  const values: Record<string, unknown> = {};
  const sources: Record<string, ConfigSource> = {};
  for (const [name, setting] of Object.entries<Setting>(SETTINGS)) {
    const chosen = choose(name, setting, { input, environment, file });
    sources[name] = chosen.source;
    values[name] = chosen.source === "unset" ? undefined : checked(setting, chosen);
  }
  const config = Object.freeze(values) as Config; // oxlint-disable-line typescript/no-unsafe-type-assertion -- each value has passed its schema
  refuseContradiction(config);
  refuseUnusableStorage(config);
  const withFailpoints = typeof CONDARIUM_FAILPOINTS_BUILD !== "undefined" && CONDARIUM_FAILPOINTS_BUILD;
  return {
    config,
    sources,
    failpoints: withFailpoints ? environment.CONDARIUM_TEST_FAILPOINTS : undefined,
  };
}

export const SETTING_NAMES: readonly SettingName[] = Object.keys(SETTINGS).filter((name) => isSettingName(name));

/** `public-url` in the environment is `CONDARIUM_PUBLIC_URL`. */
export function environmentName(name: string): string {
  return `CONDARIUM_${name.toUpperCase().replaceAll("-", "_")}`;
}

/** Splits `127.0.0.1:8080`; removes the brackets of an IPv6 address. */
export function splitAddress(text: string): { hostname: string; port: number } {
  const colon = text.lastIndexOf(":");
  return { hostname: text.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(text.slice(colon + 1)) };
}

function isSettingName(name: string): name is SettingName {
  return name in SETTINGS;
}

/** `label` names the setting as the user wrote it. */
type Chosen = { readonly source: ConfigSource; readonly value: unknown; readonly label: string };
type Inputs = {
  readonly input: ConfigInput;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly file: Readonly<Record<string, unknown>>;
};

function choose(name: string, setting: Setting, { input, environment, file }: Inputs): Chosen {
  const flag = input.flags[name];
  if (flag !== undefined) return { source: "flag", value: flag, label: `--${input.flagNames?.[name] ?? name}` };
  const variable = environment[environmentName(name)];
  if (variable !== undefined) return { source: "environment", value: variable, label: environmentName(name) };
  const standard = setting.variable === undefined ? undefined : environment[setting.variable];
  if (standard !== undefined && standard !== "")
    return { source: "environment", value: standard, label: setting.variable ?? name };
  if (file[name] !== undefined) return { source: "file", value: file[name], label: `${input.file?.name}: ${name}` };
  if (setting.default !== undefined) return { source: "default", value: setting.default, label: name };
  return { source: "unset", value: undefined, label: name };
}

function checked(setting: Setting, { value, label }: Chosen): unknown {
  const result = setting.schema.safeParse(value);
  if (result.success) return result.data;
  const example = setting.example ?? setting.default ?? "";
  throw usage(`${label} must be ${setting.rule}${setting.rule.includes(example) ? "" : `, for example ${example}`}.`);
}

function refuseContradiction({ "public-url": publicUrl, "default-owner": owner }: Config): void {
  if (publicUrl === undefined || owner === undefined || reservedOwner(publicUrl) !== owner) return;
  throw usage(
    `default-owner must not be ${owner}: public-url has the path ${pathOf(publicUrl)}, so no owner can be named ${owner}.`,
  );
}

function refuseUnusableStorage(config: Config): void {
  if (config.storage.kind === "folder") {
    if (config["storage-redirect"]) throw usage("storage-redirect must be no: only an S3 bucket has URLs of its own.");
    return;
  }
  if (config["s3-access-key-id"] !== undefined && config["s3-secret-access-key"] !== undefined) return;
  throw usage(
    "The S3 bucket of --storage needs a key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, " +
      "or s3-access-key-id and s3-secret-access-key in the settings file.",
  );
}

/** The value of a setting as text for people. */
export function shownValue(name: SettingName, config: Config): unknown {
  if (name === "storage") return storageUrl(config.storage);
  if (name === "database" && config.database !== undefined) return shownUrl(config.database);
  const setting: Setting = SETTINGS[name];
  return setting.isSecret === true && config[name] !== undefined ? "(hidden)" : (config[name] ?? null);
}

function parseFile(file: { readonly name: string; readonly text: string }): Readonly<Record<string, unknown>> {
  let parsed: Readonly<Record<string, unknown>>;
  try {
    parsed = z.record(z.string(), z.unknown()).parse(Bun.TOML.parse(file.text));
  } catch (error) {
    const reason =
      error instanceof SyntaxError ? error.message.replace("TOML Parse error: ", "") : "no table of settings";
    throw usage(`${file.name} is not valid TOML: ${reason}.`);
  }
  const unknown = Object.keys(parsed).find((key) => !Object.hasOwn(SETTINGS, key));
  if (unknown !== undefined) throw usage(`${file.name}: unknown setting ${unknown}. ${KNOWN}`);
  return parsed;
}

const KNOWN = `The settings are ${Object.keys(SETTINGS).join(", ")}.`;

/** Variables that container platforms set for a service named `condarium`. */
const SERVICE_LINK = /^CONDARIUM_(?:SERVICE_HOST|SERVICE_PORT|PORT)(?:_|$)/;

function refuseUnknown(environment: Readonly<Record<string, string | undefined>>): void {
  const known = new Set(Object.keys(SETTINGS).map(environmentName));
  for (const variable of Object.keys(environment)) {
    if (!variable.startsWith("CONDARIUM_") || variable.startsWith("CONDARIUM_TEST_") || known.has(variable)) continue;
    if (SERVICE_LINK.test(variable)) continue;
    throw usage(`Unknown setting ${variable} in the environment. ${KNOWN}`);
  }
}
