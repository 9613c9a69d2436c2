// GET and HEAD below a channel: documents, shards and packages.

import { notFound } from "../../errors.ts";
import { formatOf } from "../../modules/conda/file-name.ts";
import { shardCaching } from "../../modules/http/cache-control.ts";
import { strongEtag } from "../../modules/http/etag.ts";
import type { Access } from "../../services/access.ts";
import type { RequestActor } from "../../services/actor.ts";
import { channelLabel, type ChannelRef } from "../../services/channel-ref.ts";
import { documentNamed, type DocumentName } from "../../services/conda/documents/names.ts";
import { condaPolicyOf } from "../../services/conda/policy.ts";
import { WHOLE_CHANNEL, type Source } from "../../services/sources/source.ts";
import { actorOf } from "../actor.ts";
import type { Call } from "../request-pipeline.ts";
import { packageResponse, readerOf } from "../package-file.ts";
import { contentResponse, type Asking } from "../ranged.ts";
import { documentResponse, type Reach } from "./document.ts";
import { READ_HELP, readTarget, type CondaPath } from "./path.ts";

export type ReadParts = { readonly access: Access; readonly sourceOf: (ref: ChannelRef) => Source };

export async function readChannel(parts: ReadParts, call: Call, path: CondaPath): Promise<Response> {
  const { request, context } = call;
  const target = readTarget(path);
  const actor = await actorOf(call, { help: READ_HELP });
  const { channel } = target;
  const ref = await parts.access.require(actor, "read", { kind: "channel", owner: path.owner, channel });
  const source = parts.sourceOf(ref);
  const policy = condaPolicyOf(ref.channel);
  const { asking, isPublic } = readerOf(call, actor, ref);
  const reach: Reach = { isPublic, maxAge: policy.maxAge };
  const document = (name: DocumentName, section: string): Promise<Response> => {
    const isOffered = name !== SHARD_INDEX || offersShards(policy.shards, request, context.pathToken !== undefined);
    return documentResponse(asking, source, { section, name }, { ...reach, isOffered });
  };
  switch (target.kind) {
    case "channel-file": {
      const name = documentNamed(target.file, "channel");
      if (name) return await document(name, WHOLE_CHANNEL);
      break;
    }
    case "subdir-file": {
      const name = documentNamed(target.file, "section");
      if (name) return await document(name, target.subdir);
      const isPackage = formatOf(target.file) !== undefined;
      const file = isPackage ? await source.file(target.subdir, target.file) : undefined;
      if (file) return await packageResponse(asking, target.file, file, reach);
      break;
    }
    case "shard":
      return await shardResponse(asking, source, target.hash, reach);
    case "unknown":
      throw notFound(await unknownText(parts, actor, ref, { source, name: path.rest.join("/") }));
  }
  throw notFound(await noFileText(ref, source));
}

/** GET of the address of an owner alone, which is that of its unnamed channel. */
export async function readOwner(parts: ReadParts, call: Call, owner: string): Promise<never> {
  const actor = await actorOf(call, { help: READ_HELP });
  const ref = await parts.access.require(actor, "read", { kind: "channel", owner, channel: "" });
  throw notFound(await channelText(ref, parts.sourceOf(ref)));
}

/** The address of a channel itself, as people open it, is distinguished from that of a missing file. */
async function unknownText(
  { access, sourceOf }: ReadParts,
  actor: RequestActor,
  parent: ChannelRef,
  { source, name }: { readonly source: Source; readonly name: string },
): Promise<string> {
  const target = { kind: "channel", owner: parent.owner.name, channel: name } as const;
  // A channel that the actor is not allowed to read must look like a missing one.
  if (!(await access.mayRead(actor, target))) return await noFileText(parent, source);
  const ref = await access.require(actor, "read", target);
  return await channelText(ref, sourceOf(ref));
}

async function channelText(ref: ChannelRef, source: Source): Promise<string> {
  const url = `/${[ref.owner.name, ref.name].filter((part) => part !== "").join("/")}`;
  const index = `Its index is below ${url}/{subdir}/, for example ${url}/noarch/repodata.json.`;
  return `This is the address of ${titleOf(ref)}, for conda and similar tools.${await emptyText(source)} ${index}`;
}

async function noFileText(ref: ChannelRef, source: Source): Promise<string> {
  return `There is no such file in ${titleOf(ref)}.${await emptyText(source)} ${READ_HELP.address}`;
}

async function emptyText(source: Source): Promise<string> {
  return (await source.isEmpty()) ? " The channel is empty: it contains no packages." : "";
}

function titleOf({ owner, name }: ChannelRef): string {
  return name === "" ? `the unnamed channel of ${owner.name}` : `the channel ${channelLabel(owner.name, name)}`;
}

const SHARD_INDEX: DocumentName = "repodata_shards.msgpack.zst";
/** These versions cache the shard index for a day, whatever its cache headers say. */
const CACHING_MAMBA = /^mamba\/2\.[678]\b/;

function offersShards(policy: "fresh" | "on" | "off", request: Request, hasPathToken: boolean): boolean {
  if (policy !== "fresh") return policy === "on";
  return hasPathToken || !CACHING_MAMBA.test(request.headers.get("user-agent") ?? "");
}

async function shardResponse(asking: Asking, source: Source, hash: string, reach: Reach): Promise<Response> {
  const shard = await source.shard(hash);
  if (!shard) throw notFound("The channel has no such shard.");
  const headers = shardCaching(reach);
  headers.set("content-type", "application/zstd");
  return await contentResponse(asking, headers, { etag: strongEtag(hash), sendable: shard });
}
