// The one splitter: what a raw request path means, before anything is looked up.

import { formatOf } from "../../modules/conda/file-name.ts";
import { isReservedName } from "../../modules/conda/channel-name.ts";
import { isKnownSubdir, isSubdir } from "../../modules/conda/subdir.ts";
import { isOwnerName } from "../../modules/owner-name.ts";
import { decodePath } from "../raw-path.ts";

/** A path below an owner: its channel part is not settled yet, as that may depend on what exists. */
export type CondaPath = {
  readonly owner: string;
  /** Decoded segments after the owner (and `conda`), at least one. */
  readonly rest: readonly [string, ...string[]];
};

export type ReadTarget =
  | { readonly kind: "channel-file"; readonly channel: string; readonly file: string }
  | { readonly kind: "subdir-file"; readonly channel: string; readonly subdir: string; readonly file: string }
  | { readonly kind: "shard"; readonly channel: string; readonly subdir: string; readonly hash: string }
  /** Something below a channel that no reader asks for. */
  | { readonly kind: "unknown"; readonly channel: string };

export type PublishTarget = { readonly channel: string; readonly subdir: string | undefined; readonly file: string };

/** For those who may have mistaken an address. */
export const ADDRESS_HELP =
  "A channel's address is /{owner}/{channel}, or /{owner} for the owner's unnamed channel; the subdir comes after it.";

const CHANNEL_FILES = ["channeldata.json", "notices.json", "rss.xml"];

/** Undefined for a path that is no channel path, or that cannot be decoded without doubt. */
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

/** What a reader asks for. */
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
 * What a publisher means: the part before the file is a subdir when it is a known one; when it merely looks like one
 * (`test-channel` does), `isChannel` decides by what exists.
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
  // The unnamed channel is every other channel's parent, so its existence says nothing.
  if (asSubdir.channel === "") return asChannel;
  // Both are looked up whatever the first one says, so that the time it takes says nothing of what exists.
  const isBelow = await options.isChannel(asSubdir.channel);
  const isChannel = await options.isChannel(asChannel.channel);
  return isBelow && !isChannel ? asSubdir : asChannel;
}

/** The file that a `DELETE` names: the subdir is always there. */
export function deleteTarget({ rest }: CondaPath): { channel: string; subdir: string; file: string } | undefined {
  const subdir = rest[rest.length - 2];
  if (subdir === undefined) return undefined;
  return { channel: join(rest, 2), subdir, file: rest[rest.length - 1] ?? "" };
}

function below(owner: string | undefined, rest: readonly string[]): CondaPath | undefined {
  const [head, ...tail] = rest;
  if (owner === undefined || head === undefined || !isOwner(owner.toLowerCase())) return undefined;
  return { owner, rest: [head, ...tail] };
}

function isOwner(name: string): boolean {
  return isOwnerName(name) && !isReservedName(name, "owner");
}

/** `/get/{channel}/…`: one segment before the subdir is a flat name of the default owner. */
function quetzPath(segments: readonly string[], defaultOwner: string | undefined): CondaPath | undefined {
  const [first, second] = segments;
  if (first === undefined || second === undefined) return undefined;
  const isFlat = isKnownSubdir(second) || CHANNEL_FILES.includes(second);
  return isFlat ? below(defaultOwner, segments) : below(first, segments.slice(1));
}

function join(rest: readonly string[], without: number): string {
  return rest.slice(0, Math.max(0, rest.length - without)).join("/");
}
