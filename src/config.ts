// Every setting, and the only reader of the environment. Flags win over the environment, that over the file, that over defaults.

import { z } from "zod";
import { usage } from "./errors.ts";

const bytes = z.preprocess(parseBytes, z.int().min(1).max(Number.MAX_SAFE_INTEGER));
const seconds = z.preprocess(parseSeconds, z.int().min(0).max(86_400));
/** A timer of more than 24 days would run out at once. */
const interval = z.preprocess(
  parseInterval,
  z
    .int()
    .min(0)
    .max(14 * 86_400),
);
const age = z.preprocess(
  parseSeconds,
  z
    .int()
    .min(0)
    .max(365 * 86_400),
);
const count = z.preprocess(parseNumber, z.int().min(1).max(10_000));
const yesNo = z.preprocess(parseYesNo, z.boolean());
const list = z.preprocess(parseList, z.array(z.string().min(1)).max(100));
const address = z.string().regex(/^(\[[0-9a-fA-F:.]+\]|[^:\s[\]]+):\d{1,5}$/, "must be HOST:PORT");

type Setting = { readonly schema: z.ZodType; readonly default: string | undefined; readonly help: string };

/** One row each; the key is the name in the file and the flag, the environment has it as CONDARIUM_NAME. */
export const SETTINGS = {
  data: { schema: z.string().min(1), default: "./data", help: "folder of the database and the packages" },
  listen: {
    schema: address,
    default: "127.0.0.1:8080",
    help: "address and port to listen on; port 0 takes a free one",
  },
  "public-url": {
    schema: z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, "")),
    default: undefined,
    help: "address that links are built from; http:// and the listen address unless set",
  },
  "default-visibility": {
    schema: z.enum(["public", "internal", "private"]),
    default: "public",
    help: "visibility of new owners, and so of their channels",
  },
  "create-channels": { schema: yesNo, default: "yes", help: "whether a first publish makes the channel" },
  "default-owner": {
    schema: z.string().min(1),
    default: undefined,
    help: "owner of channels named without one (/get/CHANNEL)",
  },
  "known-subdirs": { schema: list, default: "", help: "subdirs known beside conda's own, separated by commas" },
  "max-upload-size": { schema: bytes, default: "4GiB", help: "largest package" },
  "min-free-space": { schema: bytes, default: "1GiB", help: "uploads are refused when the disk has less left" },
  "uploads-per-account": { schema: count, default: "128", help: "uploads one account may have under way" },
  "uploads-per-token": { schema: count, default: "64", help: "uploads one token of it may have under way" },
  workers: { schema: count, default: "2", help: "threads that read packages" },
  "inspection-time": {
    schema: seconds,
    default: "10s",
    help: "processor time to read a package, a tenth more per 5 MB packed and unpacked",
  },
  "shutdown-timeout": {
    schema: seconds,
    default: "30s",
    help: "how long open transfers may take to end at a shutdown",
  },
  "gc-interval": {
    schema: interval,
    default: "24h",
    help: "how often the server gives back the space of what nobody needs; off for never",
  },
  "gc-grace": { schema: age, default: "24h", help: "how long a package stays on the disk once no file refers to it" },
  "metrics-listen": {
    schema: address,
    default: undefined,
    help: "address and port that serve /metrics without a login",
  },
  "trusted-proxies": { schema: list, default: "", help: "addresses of proxies whose X-Forwarded-For is believed" },
  "log-level": {
    schema: z.enum(["debug", "info", "warn", "error"]),
    default: "info",
    help: "least level of log lines",
  },
} as const satisfies Readonly<Record<string, Setting>>;

export type SettingName = keyof typeof SETTINGS;
type Optional = "public-url" | "default-owner" | "metrics-listen";
type Values = { readonly [Name in SettingName]: z.infer<(typeof SETTINGS)[Name]["schema"]> };

export type Config = Readonly<Omit<Values, Optional>> & { readonly [Name in Optional]: Values[Name] | undefined };
export type ConfigSource = "flag" | "environment" | "file" | "default" | "unset";
export type LoadedConfig = {
  readonly config: Config;
  /** Where each value came from. */
  readonly sources: Readonly<Record<string, ConfigSource>>;
  /** Present only in builds made for crash tests. */
  readonly failpoints: string | undefined;
};

export type ConfigInput = {
  readonly flags: Readonly<Record<string, string | undefined>>;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** TOML text of `--config`, with its name for messages. */
  readonly file?: { readonly name: string; readonly text: string } | undefined;
};

declare const CONDARIUM_FAILPOINTS_BUILD: boolean;

/** Errors: `usage` naming the setting, where it was given and what is wrong with it. */
export function loadConfig(input: ConfigInput): LoadedConfig {
  const environment = input.environment ?? process.env;
  const file = input.file ? parseFile(input.file) : {};
  refuseUnknown(environment);
  const values: Record<string, unknown> = {};
  const sources: Record<string, ConfigSource> = {};
  for (const [name, setting] of Object.entries<Setting>(SETTINGS)) {
    const given = pick(name, setting, { flags: input.flags, environment, file });
    sources[name] = given.source;
    values[name] = given.source === "unset" ? undefined : checked(name, setting, given);
  }
  const withFailpoints = typeof CONDARIUM_FAILPOINTS_BUILD !== "undefined" && CONDARIUM_FAILPOINTS_BUILD;
  return {
    config: Object.freeze(values) as Config, // oxlint-disable-line typescript/no-unsafe-type-assertion -- each value has just passed its schema
    sources,
    failpoints: withFailpoints ? environment.CONDARIUM_TEST_FAILPOINTS : undefined,
  };
}

export const SETTING_NAMES: readonly SettingName[] = Object.keys(SETTINGS).filter((name) => isSettingName(name));

/** `public-url` in the environment is `CONDARIUM_PUBLIC_URL`. */
export function environmentName(name: string): string {
  return `CONDARIUM_${name.toUpperCase().replaceAll("-", "_")}`;
}

/** `127.0.0.1:8080` in its two parts; brackets of an IPv6 address are taken off. */
export function splitAddress(text: string): { hostname: string; port: number } {
  const colon = text.lastIndexOf(":");
  return { hostname: text.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(text.slice(colon + 1)) };
}

function isSettingName(name: string): name is SettingName {
  return name in SETTINGS;
}

type Given = { readonly source: ConfigSource; readonly value: unknown };
type Places = {
  readonly flags: ConfigInput["flags"];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly file: Readonly<Record<string, unknown>>;
};

function pick(name: string, setting: Setting, places: Places): Given {
  const flag = places.flags[name];
  if (flag !== undefined) return { source: "flag", value: flag };
  const variable = places.environment[environmentName(name)];
  if (variable !== undefined) return { source: "environment", value: variable };
  if (places.file[name] !== undefined) return { source: "file", value: places.file[name] };
  if (setting.default !== undefined) return { source: "default", value: setting.default };
  return { source: "unset", value: undefined };
}

function checked(name: string, setting: Setting, given: Given): unknown {
  const result = setting.schema.safeParse(given.value);
  if (result.success) return result.data;
  const where = given.source === "environment" ? environmentName(name) : given.source === "flag" ? `--${name}` : name;
  const why = result.error.issues[0]?.message ?? "not valid";
  throw usage(`${where} (${given.source}): ${why}. It is the ${setting.help}.`);
}

function parseFile(file: { readonly name: string; readonly text: string }): Readonly<Record<string, unknown>> {
  let parsed: Readonly<Record<string, unknown>>;
  try {
    parsed = z.record(z.string(), z.unknown()).parse(Bun.TOML.parse(file.text));
  } catch (error) {
    throw usage(`${file.name} is not valid TOML: ${error instanceof Error ? error.message : "unreadable"}`);
  }
  const unknown = Object.keys(parsed).find((key) => !(key in SETTINGS));
  if (unknown !== undefined) throw usage(`${file.name}: unknown setting ${unknown}. ${KNOWN}`);
  return parsed;
}

const KNOWN = `There are: ${Object.keys(SETTINGS).join(", ")}.`;

/** What container platforms set by themselves for a service that is called `condarium`. */
const SERVICE_LINK = /^CONDARIUM_(?:SERVICE_HOST|SERVICE_PORT|PORT)(?:_|$)/;

function refuseUnknown(environment: Readonly<Record<string, string | undefined>>): void {
  const known = new Set(Object.keys(SETTINGS).map(environmentName));
  for (const variable of Object.keys(environment)) {
    if (!variable.startsWith("CONDARIUM_") || variable.startsWith("CONDARIUM_TEST_") || known.has(variable)) continue;
    if (SERVICE_LINK.test(variable)) continue;
    throw usage(`Unknown setting ${variable} in the environment. ${KNOWN}`);
  }
}

function parseBytes(value: unknown): unknown {
  const match = typeof value === "string" ? /^(\d+)\s*(B|[KMGT]i?B?)?$/i.exec(value.trim()) : null;
  if (!match) return value;
  const unit = (match[2] ?? "B").toUpperCase();
  const power = "BKMGT".indexOf(unit.charAt(0));
  return Number(match[1]) * (unit.includes("I") || unit.length === 1 ? 1024 : 1000) ** power;
}

function parseSeconds(value: unknown): unknown {
  const match = typeof value === "string" ? /^(\d+)\s*(s|m|h|d)?$/.exec(value.trim()) : null;
  if (!match) return value;
  const factors: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
  return Number(match[1]) * (factors[match[2] ?? "s"] ?? 1);
}

function parseInterval(value: unknown): unknown {
  return value === "off" ? 0 : parseSeconds(value);
}

function parseNumber(value: unknown): unknown {
  return typeof value === "string" && /^\d+$/.test(value.trim()) ? Number(value) : value;
}

function parseYesNo(value: unknown): unknown {
  if (typeof value !== "string") return value;
  const word = value.trim().toLowerCase();
  if (["yes", "true", "1", "on"].includes(word)) return true;
  return ["no", "false", "0", "off"].includes(word) ? false : value;
}

function parseList(value: unknown): unknown {
  if (typeof value !== "string") return value;
  return value
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}
