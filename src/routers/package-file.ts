// Shared by reads of every package type: the reader, who can cache the response, and the file as a download.

import { packageCaching } from "../modules/http/cache-control.ts";
import { matchesEtag, strongEtag } from "../modules/http/etag.ts";
import type { RequestActor } from "../services/actor.ts";
import { effectiveVisibility, type ChannelRef } from "../services/channel-ref.ts";
import type { SourceFile } from "../services/sources/source.ts";
import type { Call } from "./request-pipeline.ts";
import { contentResponse, type Asking } from "./ranged.ts";

const YANKED = '299 condarium "this file was yanked from the channel"';

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
  if (file.state === "yanked") headers.set("warning", YANKED);
  const etag = strongEtag(file.sha256);
  const { method, headers: asked } = asking.request;
  if (!file.signedUrl || matchesEtag(asked.get("if-none-match"), etag))
    return await contentResponse(asking, headers, { etag, sendable: file });
  const location = await file.signedUrl({
    method: method === "HEAD" ? "HEAD" : "GET",
    fileName: name,
    isPublic: reach.isPublic,
  });
  return redirect(location, file);
}

/** Never stored: the URL ends to be valid, and it gives the content to anybody, so no other site may learn it either. */
function redirect(location: string, file: SourceFile): Response {
  const headers = new Headers({ location, "cache-control": "no-store", "referrer-policy": "no-referrer" });
  if (file.state === "yanked") headers.set("warning", YANKED);
  return new Response(null, { status: 302, headers });
}
