// The table of settings: one row each, with its schema, default and help.

import { z } from "zod";
import { isAddressOrNetwork } from "./modules/http/client-address.ts";
import { isReservedName } from "./modules/conda/channel-name.ts";
import { isKnownSubdir, isSubdir } from "./modules/conda/subdir.ts";
import { pathOf } from "./modules/http/url.ts";
import { parseBytes, parseInterval, parseList, parseNumber, parseSeconds, parseYesNo } from "./modules/setting-text.ts";
import { isOwnerName, isPathPrefix } from "./modules/owner-name.ts";
import { TWO_FACTOR_POLICIES } from "./services/two-factor-policy.ts";
import { parseStorage, type StorageLocation } from "./modules/storage/description.ts";

/** What a setting accepts: its schema, its form in help texts, and the rule that an error quotes after "must be". */
type Kind = { readonly schema: z.ZodType; readonly form: string; readonly rule: string };
export type Setting = Kind & {
  readonly default: string | undefined;
  /** A valid value for error messages; the default if there is none. */
  readonly example?: string;
  readonly help: string;
  /** The values of a setting that has few, for shell completion; help texts name them already. */
  readonly choices?: readonly string[];
  /** The environment variable that other programs read the same value from; ours wins, and an empty one is unset. */
  readonly variable?: string;
  /** Never shown, and not a flag: process lists show those. */
  readonly isSecret?: true;
};

const VISIBILITIES = ["public", "internal", "private"] as const;
const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;

const bytes = {
  schema: z.preprocess(parseBytes, z.int().min(1).max(Number.MAX_SAFE_INTEGER)),
  form: "<size>",
  rule: "a size of at least 1 byte, as a number with B, KB, MB, GB, TB, KiB, MiB, GiB or TiB",
} as const satisfies Kind;
const seconds = {
  schema: z.preprocess(parseSeconds, z.int().min(0).max(86_400)),
  form: "<time>",
  rule: "a time of at most 24h, as a number with s, m, h or d",
} as const satisfies Kind;
/** A timer of more than 24 days would expire at once. */
const interval = {
  schema: z.preprocess(
    parseInterval,
    z
      .int()
      .min(0)
      .max(14 * 86_400),
  ),
  form: "<time>",
  rule: "off, or a time of at most 14d, as a number with s, m, h or d",
} as const satisfies Kind;
const age = {
  schema: z.preprocess(
    parseSeconds,
    z
      .int()
      .min(0)
      .max(365 * 86_400),
  ),
  form: "<time>",
  rule: "a time of at most 365d, as a number with s, m, h or d",
} as const satisfies Kind;
const count = {
  schema: z.preprocess(parseNumber, z.int().min(1).max(10_000)),
  form: "<number>",
  rule: "a whole number from 1 to 10000",
} as const satisfies Kind;
const days = {
  schema: z.preprocess(parseNumber, z.int().min(0).max(3650)),
  form: "<days>",
  rule: "a whole number of days from 0 to 3650",
} as const satisfies Kind;
const yesNo = {
  schema: z.preprocess(parseYesNo, z.boolean()),
  form: "<yes|no>",
  rule: "yes or no",
  choices: ["yes", "no"],
} as const satisfies Kind & Pick<Setting, "choices">;
const networks = {
  schema: z.preprocess(parseList, z.array(z.string().refine(isAddressOrNetwork)).max(100)),
  form: "<list>",
  rule: "a list of at most 100 IP addresses and networks, separated by commas",
} as const satisfies Kind;
const address = {
  schema: z.string().regex(/^(\[[0-9a-fA-F:.]+\]|[^:\s[\]]+):\d{1,5}$/),
  form: "<host:port>",
  rule: "HOST:PORT (port 0 picks a free one)",
} as const satisfies Kind;

const secret = {
  schema: z.string().min(1).max(4096),
  form: "<text>",
  rule: "the text as the storage's operator gave it",
} as const satisfies Kind;

/** One row per setting; the key is the name in the file and the flag, the environment variable is CONDARIUM_NAME. */
export const SETTINGS = {
  data: {
    schema: z.string().min(1),
    form: "<folder>",
    rule: "the path of a folder",
    default: "./data",
    help: "folder of the database and the packages",
  },
  database: {
    schema: z.string().refine(isDatabaseUrl),
    form: "<url>",
    rule: "a URL such as postgres://USER:PASSWORD@HOST/NAME",
    default: undefined,
    example: "postgres://condarium@db.example.com/condarium",
    help: "PostgreSQL database (14 or newer) to use instead of a file in the data folder",
  },
  listen: { ...address, default: "127.0.0.1:8080", help: "address to listen on; port 0 picks a free port" },
  storage: {
    schema: z.string().transform(toStorage),
    form: "<url>",
    rule: "folder, or s3://BUCKET/PREFIX with the parameters endpoint, region and path-style alone",
    default: "folder",
    example: "s3://bucket/prefix?endpoint=https://s3.example.com&region=eu-1&path-style=true",
    help: "where packages are stored: folder, the data folder, or the URL of an S3 bucket",
  },
  "storage-redirect": {
    ...yesNo,
    default: "no",
    help: "send downloads of packages to the S3 bucket itself, by a URL that is valid for 5 minutes",
  },
  "storage-cache-size": {
    ...bytes,
    default: "1GiB",
    help: "disk space for copies of small packages and shards of an S3 bucket",
  },
  "s3-access-key-id": {
    ...secret,
    default: undefined,
    variable: "AWS_ACCESS_KEY_ID",
    help: "name of the key for the S3 bucket; also AWS_ACCESS_KEY_ID",
  },
  "s3-secret-access-key": {
    ...secret,
    default: undefined,
    variable: "AWS_SECRET_ACCESS_KEY",
    isSecret: true,
    help: "the key for the S3 bucket, which has no flag; also AWS_SECRET_ACCESS_KEY",
  },
  "s3-session-token": {
    ...secret,
    default: undefined,
    variable: "AWS_SESSION_TOKEN",
    isSecret: true,
    help: "the token of a temporary key for the S3 bucket, which has no flag; also AWS_SESSION_TOKEN",
  },
  "public-url": {
    schema: z.string().refine(isBaseUrl).transform(baseUrl),
    form: "<url>",
    rule: "an http or https URL without user, query or fragment, whose path, if any, uses no word of the server's own",
    default: undefined,
    example: "https://conda.example.com",
    help: "base URL of all links; without it, http:// and the listen address",
  },
  "default-visibility": {
    schema: z.enum(VISIBILITIES),
    choices: VISIBILITIES,
    form: "<visibility>",
    rule: "public, internal or private",
    default: "public",
    help: "visibility of new owners and their channels: public, internal or private",
  },
  "name-hold-days": {
    ...days,
    default: "30",
    help: "days for which nobody else can take the name of a deleted or renamed owner; 0 for none",
  },
  "transfer-redirect-days": {
    ...days,
    default: "30",
    help: "days for which a transferred channel can still be read at its former address; 0 for none",
  },
  "create-channels": { ...yesNo, default: "yes", help: "create a missing channel at the first publish to it" },
  "default-owner": {
    schema: z.string().toLowerCase().refine(isUsableOwner),
    form: "<owner>",
    rule: "a name that an owner can have",
    default: undefined,
    example: "alice",
    help: "owner of the channels at /get/CHANNEL, whose addresses name no owner",
  },
  "known-subdirs": {
    schema: z.preprocess(parseList, z.array(z.string().refine(isSubdir)).max(100)),
    form: "<list>",
    rule: "a list of at most 100 subdirs, separated by commas",
    default: "",
    example: "linux-sparc64,haiku-64",
    help: "subdirs to recognize in upload addresses besides conda's own, separated by commas",
  },
  "max-upload-size": { ...bytes, default: "4GiB", help: "maximum size of an uploaded file" },
  "min-free-space": { ...bytes, default: "1GiB", help: "free disk space below which uploads are refused" },
  "uploads-per-account": { ...count, default: "128", help: "maximum number of concurrent uploads of an account" },
  "uploads-per-token": { ...count, default: "64", help: "maximum number of concurrent uploads with one token" },
  processes: {
    schema: z.preprocess(parseNumber, z.int().min(1).max(64)),
    form: "<number>",
    rule: "a whole number from 1 to 64",
    default: "1",
    help: "number of processes that answer requests; more than 1 only on Linux",
  },
  workers: { ...count, default: "2", help: "number of threads that inspect packages" },
  "inspection-time": {
    ...seconds,
    default: "10s",
    help: "CPU time limit to inspect a package; 10% more per 5 MB, packed and unpacked",
  },
  "shutdown-timeout": { ...seconds, default: "30s", help: "how long a shutdown waits for open transfers" },
  "gc-interval": {
    ...interval,
    default: "24h",
    help: "time between garbage collections of the server; off disables them",
  },
  "gc-grace": { ...age, default: "24h", help: "how long to keep a package that no file refers to" },
  "audit-days": {
    ...count,
    default: "400",
    help: "how many days to keep the audit trail; older events are garbage too",
  },
  "metrics-listen": {
    ...address,
    default: undefined,
    example: "127.0.0.1:9090",
    help: "address of a second port, which serves /metrics without a login",
  },
  "require-two-factor": {
    schema: z.enum(TWO_FACTOR_POLICIES),
    choices: TWO_FACTOR_POLICIES,
    form: "<who>",
    rule: "no, admins or all",
    default: "no",
    help: "who must have two-factor authentication: no (nobody), admins or all",
  },
  "trusted-proxies": {
    ...networks,
    default: "",
    example: "127.0.0.1,10.0.0.0/8,fd00::/8",
    help: "addresses and networks whose X-Forwarded-For is trusted, separated by commas",
  },
  "log-level": {
    schema: z.enum(LOG_LEVELS),
    choices: LOG_LEVELS,
    form: "<level>",
    rule: "debug, info, warn or error",
    default: "info",
    help: "lowest level to log: debug, info, warn or error",
  },
} as const satisfies Readonly<Record<string, Setting>>;

export type SettingName = keyof typeof SETTINGS;
type Optional =
  | "database"
  | "public-url"
  | "default-owner"
  | "metrics-listen"
  | "s3-access-key-id"
  | "s3-secret-access-key"
  | "s3-session-token";
type Values = { readonly [Name in SettingName]: z.infer<(typeof SETTINGS)[Name]["schema"]> };

export type Config = Readonly<Omit<Values, Optional>> & { readonly [Name in Optional]: Values[Name] | undefined };

function toStorage(text: string, context: z.RefinementCtx): StorageLocation {
  const location = parseStorage(text);
  if (location) return location;
  context.addIssue({ code: "custom", message: "no storage" });
  return z.NEVER;
}

function isDatabaseUrl(text: string): boolean {
  return /^postgres(?:ql)?:\/\//.test(text) && URL.canParse(text) && new URL(text).pathname.length > 1;
}

/** Checks the text as well: a URL object does not show an empty query, fragment or user name. */
function isBaseUrl(text: string): boolean {
  return (
    /^https?:\/\/[^/?#@\\\s]+(?:\/[^?#\\\s]*)?$/i.test(text) && URL.canParse(text) && isPrefixOrNone(baseUrl(text))
  );
}

function isPrefixOrNone(url: string): boolean {
  const path = pathOf(url);
  const segments = path.split("/").slice(1);
  return path === "" || (isPathPrefix(segments) && !segments.some((part) => isKnownSubdir(part)));
}

/** The URL in its normal form, without a slash at its end. */
function baseUrl(text: string): string {
  const { origin, pathname } = new URL(text);
  return origin + pathname.replace(/\/+$/, "");
}

function isUsableOwner(name: string): boolean {
  return isOwnerName(name) && !isReservedName(name, "owner");
}
