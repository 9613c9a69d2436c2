// Shared by reads of every package type: the reader, who can cache the response, and the file as a download.

import { packageCaching } from "../modules/http/cache-control.ts";
import { strongEtag } from "../modules/http/etag.ts";
import type { RequestActor } from "../services/actor.ts";
import { effectiveVisibility, type ChannelRef } from "../services/channel-ref.ts";
import type { SourceFile } from "../services/sources/source.ts";
import type { Call } from "./request-pipeline.ts";
import { contentResponse, type Asking } from "./ranged.ts";

/**
 * `isPublic`: shared caches can store the response, and web pages of every origin can read it, also if it becomes an
 * error. Public responses to anonymous requests can also be replayed.
 */
export function readerOf(
  call: Call,
  actor: RequestActor,
  ref: ChannelRef,
): { readonly asking: Asking; readonly isPublic: boolean } {
  const { request, context, isOpen } = call;
  const isPublic = context.pathToken === undefined && effectiveVisibility(ref.owner, ref.channel) === "public";
  if (isPublic) call.allowOrigins();
  const allowCaching = isPublic && actor.identity.kind === "anonymous" ? call.allowCaching : () => {};
  return { asking: { request, isOpen, allowCaching }, isPublic };
}

/** A file as a download. File names of every type are safe in a quoted string. */
export async function packageResponse(
  asking: Asking,
  name: string,
  file: SourceFile,
  reach: { readonly isPublic: boolean },
): Promise<Response> {
  const headers = packageCaching({ ...reach, immutable: false });
  headers.set("content-type", "application/octet-stream");
  headers.set("content-disposition", `attachment; filename="${name}"`);
  headers.set("last-modified", new Date(file.lastModified).toUTCString());
  if (file.state === "yanked") headers.set("warning", '299 condarium "this file was yanked from the channel"');
  return await contentResponse(asking, headers, { etag: strongEtag(file.sha256), sendable: file });
}
