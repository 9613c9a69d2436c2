// GET and HEAD below a channel: documents, shards and packages.

import { notFound } from "../../errors.ts";
import { formatOf } from "../../modules/conda/file-name.ts";
import { shardCaching } from "../../modules/http/cache-control.ts";
import { strongEtag } from "../../modules/http/etag.ts";
import type { Access } from "../../services/access.ts";
import type { ChannelRef } from "../../services/channel-ref.ts";
import { documentNamed, type DocumentName } from "../../services/conda/documents/names.ts";
import { condaPolicyOf } from "../../services/conda/policy.ts";
import { WHOLE_CHANNEL, type Source } from "../../services/sources/source.ts";
import { actorOf } from "../actor.ts";
import type { Call } from "../request-pipeline.ts";
import { packageResponse, readerOf } from "../package-file.ts";
import { contentResponse, type Asking } from "../ranged.ts";
import { documentResponse, type Reach } from "./document.ts";
import { ADDRESS_HELP, readTarget, type CondaPath } from "./path.ts";

export type ReadParts = { readonly access: Access; readonly sourceOf: (ref: ChannelRef) => Source };

export async function readChannel(parts: ReadParts, call: Call, path: CondaPath): Promise<Response> {
  const { request, context } = call;
  const target = readTarget(path);
  const actor = await actorOf(call, { addressHelp: ADDRESS_HELP });
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
      break;
  }
  throw notFound("The channel has no such file.");
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
