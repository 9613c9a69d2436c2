// GET and HEAD below a channel: documents, shards and packages.

import { notFound } from "../../errors.ts";
import { formatOf } from "../../modules/conda/file-name.ts";
import { packageCaching, shardCaching } from "../../modules/http/cache-control.ts";
import { strongEtag } from "../../modules/http/etag.ts";
import type { Access } from "../../services/access.ts";
import { effectiveVisibility, type ChannelPlace } from "../../services/channel-place.ts";
import { condaPolicyOf } from "../../services/conda/policy.ts";
import { documentNamed, type DocumentName } from "../../services/index/documents.ts";
import type { Source, SourceFile } from "../../services/sources/source.ts";
import { actorOf } from "../actor.ts";
import type { Call } from "../kit.ts";
import { documentResponse, type Reach } from "./document.ts";
import { readTarget, type CondaPath } from "./path.ts";
import { contentResponse, type Asking } from "./ranged.ts";

export type ReadParts = { readonly access: Access; readonly sourceOf: (place: ChannelPlace) => Source };

export async function readChannel(parts: ReadParts, call: Call, path: CondaPath): Promise<Response> {
  const { request, context, mayRepeat, isOpen } = call;
  const target = readTarget(path);
  const actor = await actorOf(call);
  const { channel } = target;
  const place = await parts.access.require(actor, "read", { kind: "channel", owner: path.owner, channel });
  const source = parts.sourceOf(place);
  const policy = condaPolicyOf(place.channel);
  const reach: Reach = {
    isPublic: context.pathToken === undefined && effectiveVisibility(place.owner, place.channel) === "public",
    maxAge: policy.maxAge,
  };
  const isForAll = reach.isPublic && actor.identity.kind === "anonymous";
  const asking: Asking = { request, isOpen, mayRepeat: isForAll ? mayRepeat : () => {} };
  const document = (name: DocumentName, section: string | undefined): Promise<Response> => {
    const isOffered = name !== SHARD_INDEX || offersShards(policy.shards, request, context.pathToken !== undefined);
    return documentResponse(asking, source, { section, name }, { ...reach, isOffered });
  };
  switch (target.kind) {
    case "channel-file": {
      const name = documentNamed(target.file, "channel");
      if (name) return await document(name, undefined);
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
/** These do not ask for the index again for a day, whatever they are told. */
const FORGETFUL_MAMBA = /^mamba\/2\.[678]\b/;

function offersShards(policy: "fresh" | "on" | "off", request: Request, hasPathToken: boolean): boolean {
  if (policy !== "fresh") return policy === "on";
  return hasPathToken || !FORGETFUL_MAMBA.test(request.headers.get("user-agent") ?? "");
}

async function shardResponse(asking: Asking, source: Source, hash: string, reach: Reach): Promise<Response> {
  const shard = await source.shard(hash);
  if (!shard) throw notFound("The channel has no such shard.");
  const headers = shardCaching(reach);
  headers.set("content-type", "application/zstd");
  if (reach.isPublic) headers.set("access-control-allow-origin", "*");
  return await contentResponse(asking, headers, { etag: strongEtag(hash), sendable: shard });
}

async function packageResponse(asking: Asking, name: string, file: SourceFile, reach: Reach): Promise<Response> {
  const headers = packageCaching({ ...reach, immutable: false });
  headers.set("content-type", "application/octet-stream");
  // Stored names are ASCII of a narrow alphabet, so they are safe in a quoted string.
  headers.set("content-disposition", `attachment; filename="${name}"`);
  headers.set("last-modified", new Date(file.lastModified).toUTCString());
  if (reach.isPublic) headers.set("access-control-allow-origin", "*");
  if (file.state === "yanked") headers.set("warning", '299 condarium "this file was yanked from the channel"');
  return await contentResponse(asking, headers, { etag: strongEtag(file.sha256), sendable: file });
}
