// Splits a raw request path into owner, channel, subdir and file, without reading the database.

import { formatOf } from "../../modules/conda/file-name.ts";
import { isReservedName } from "../../modules/conda/channel-name.ts";
import { isKnownSubdir, isSubdir } from "../../modules/conda/subdir.ts";
import { isOwnerName } from "../../modules/owner-name.ts";
import type { RouteHelp } from "../../services/actor.ts";
import { decodePath } from "../raw-path.ts";
import { foldCase } from "../../modules/fold-case.ts";

/** A path below an owner. Its channel part is still undecided, as it can depend on the existing channels. */
export type CondaPath = {
  readonly owner: string;
  /** Decoded segments after the owner (and `conda`), at least one. */
  readonly rest: readonly [string, ...string[]];
};

export type ReadTarget =
  | { readonly kind: "channel-file"; readonly channel: string; readonly file: string }
  | { readonly kind: "subdir-file"; readonly channel: string; readonly subdir: string; readonly file: string }
  | { readonly kind: "shard"; readonly channel: string; readonly subdir: string; readonly hash: string }
  /** A path below a channel that is not readable. */
  | { readonly kind: "unknown"; readonly channel: string };

export type PublishTarget = { readonly channel: string; readonly subdir: string | undefined; readonly file: string };

/** Added to errors that a wrong address can cause. */
export const READ_HELP: RouteHelp = {
  address:
    "A channel's address is /{owner}/{channel}, or /{owner} for the owner's unnamed channel; the subdir comes after it.",
  signIn: "To sign in, give conda the address /t/TOKEN/{owner}/{channel}, or curl the option --user NAME:TOKEN.",
};
export const PUBLISH_HELP: RouteHelp = {
  address:
    "Upload with PUT to /api/packages/{owner}/conda/{channel}/{file}, " +
    "for example /api/packages/alice/conda/main/tool-1.0-0.conda.",
  signIn:
    "To sign in, give curl the option --user NAME:TOKEN, or rattler-build upload artifactory the option --token TOKEN.",
};
export const DELETE_HELP: RouteHelp = {
  address:
    "Delete with DELETE on /api/packages/{owner}/conda/{channel}/{subdir}/{file}, " +
    "for example /api/packages/alice/conda/main/noarch/tool-1.0-0.conda.",
  signIn: "To sign in, give curl the option --user NAME:TOKEN.",
};

const CHANNEL_FILES = ["channeldata.json", "notices.json", "rss.xml"];

/** Undefined for a path that is not below a channel, or whose decoding is ambiguous. */
export function parseCondaPath(path: string, defaultOwner: string | undefined): CondaPath | undefined {
  const segments = decodePath(path);
  if (!segments) return undefined;
  const [first, second, third] = segments;
  if (first === "api") {
    if (second !== "packages" || segments[3] !== "conda") return undefined;
    return below(third, segments.slice(4));
  }
  if (first === "get") return quetzPath(segments.slice(1), defaultOwner);
  return below(first, segments.slice(1));
}

/** The owner of `/{owner}` and `/{owner}/`; undefined for any other path. */
export function parseOwnerPath(path: string): string | undefined {
  const [owner, ...rest] = decodePath(path.replace(/(?<=.)\/$/, "")) ?? [];
  return owner !== undefined && rest.length === 0 && isOwner(foldCase(owner)) ? owner : undefined;
}

/** The target of a GET or HEAD. */
export function readTarget({ rest }: CondaPath): ReadTarget {
  const file = rest[rest.length - 1] ?? "";
  const subdir = rest[rest.length - 2];
  if (CHANNEL_FILES.includes(file)) return { kind: "channel-file", channel: join(rest, 1), file };
  const info = rest.findIndex(
    (segment, at) => at > 1 && segment === "info" && formatOf(rest[at - 1] ?? "") !== undefined,
  );
  if (info > 1 && info < rest.length - 1) return { kind: "unknown", channel: rest.slice(0, info - 2).join("/") };
  if (subdir === "shards" && rest.length > 2) return shardTarget(rest, file);
  if (subdir === undefined || !isSubdir(subdir)) return { kind: "unknown", channel: join(rest, 1) };
  return { kind: "subdir-file", channel: join(rest, 2), subdir, file };
}

function shardTarget(rest: CondaPath["rest"], file: string): ReadTarget {
  const hash = /^([0-9a-f]{64})\.msgpack\.zst$/.exec(file)?.[1];
  const channel = join(rest, 3);
  const subdir = rest[rest.length - 3] ?? "";
  return hash !== undefined && isSubdir(subdir)
    ? { kind: "shard", channel, subdir, hash }
    : { kind: "unknown", channel };
}

/**
 * The target of a PUT. The segment before the file is a subdir when it is a known one; when it only has the form of one
 * (as `test-channel` has), the existing channels decide, through `isChannel`.
 */
export async function publishTarget(
  { rest }: CondaPath,
  options: { readonly subdirs: readonly string[]; isChannel(name: string): Promise<boolean> },
): Promise<PublishTarget> {
  const file = rest[rest.length - 1] ?? "";
  const before = rest[rest.length - 2];
  const asChannel = { channel: join(rest, 1), subdir: undefined, file };
  if (before === undefined || !isSubdir(before)) return asChannel;
  const asSubdir = { channel: join(rest, 2), subdir: before, file };
  if (isKnownSubdir(before, options.subdirs)) return asSubdir;
  // The unnamed channel is the parent of every other channel, so its existence decides nothing.
  if (asSubdir.channel === "") return asChannel;
  // Always look up both, so that the response time does not reveal which channels exist.
  const isBelow = await options.isChannel(asSubdir.channel);
  const isChannel = await options.isChannel(asChannel.channel);
  return isBelow && !isChannel ? asSubdir : asChannel;
}

/** The file that a DELETE names; its path always has a subdir. */
export function deleteTarget({ rest }: CondaPath): { channel: string; subdir: string; file: string } | undefined {
  const subdir = rest[rest.length - 2];
  if (subdir === undefined) return undefined;
  return { channel: join(rest, 2), subdir, file: rest[rest.length - 1] ?? "" };
}

function below(owner: string | undefined, rest: readonly string[]): CondaPath | undefined {
  const [head, ...tail] = rest;
  if (owner === undefined || head === undefined || !isOwner(foldCase(owner))) return undefined;
  return { owner, rest: [head, ...tail] };
}

function isOwner(name: string): boolean {
  return isOwnerName(name) && !isReservedName(name, "owner");
}

/** `/get/{channel}/…`: a single segment before the subdir is a channel of the default owner. */
function quetzPath(segments: readonly string[], defaultOwner: string | undefined): CondaPath | undefined {
  const [first, second] = segments;
  if (first === undefined || second === undefined) return undefined;
  const isFlat = isKnownSubdir(second) || CHANNEL_FILES.includes(second);
  return isFlat ? below(defaultOwner, segments) : below(first, segments.slice(1));
}

function join(rest: readonly string[], without: number): string {
  return rest.slice(0, Math.max(0, rest.length - without)).join("/");
}
