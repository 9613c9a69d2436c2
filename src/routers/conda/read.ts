// GET and HEAD below a channel: documents and packages.

import { notFound } from "../../errors.ts";
import { formatOf } from "../../modules/conda/file-name.ts";
import { documentCaching, packageCaching } from "../../modules/http/cache-control.ts";
import { matchesEtag, strongEtag } from "../../modules/http/etag.ts";
import { ifRangeHolds, parseRange } from "../../modules/http/range.ts";
import { effectiveVisibility } from "../../services/access.ts";
import { policyOf, type ChannelPlace, type Channels } from "../../services/channels.ts";
import type { DocumentName, DocumentPlace } from "../../services/index/documents.ts";
import type { Source, SourceFile } from "../../services/sources/source.ts";
import type { Call } from "../kit.ts";
import { readTarget, type CondaPath } from "./path.ts";

export type ReadParts = { readonly channels: Channels; readonly sourceOf: (place: ChannelPlace) => Source };

/** How far an answer may travel: `public` ones are for everyone's caches. */
type Reach = { readonly isPublic: boolean; readonly maxAge: number };

const SUBDIR_DOCUMENTS: readonly DocumentName[] = ["repodata.json", "repodata.json.zst"];
const CONTENT_TYPES: Readonly<Record<DocumentName, string>> = {
  "repodata.json": "application/json",
  "repodata.json.zst": "application/zstd",
  "channeldata.json": "application/json",
};

export async function readChannel(
  parts: ReadParts,
  { request, context, identify }: Call,
  path: CondaPath,
): Promise<Response> {
  const target = readTarget(path);
  const place = await parts.channels.readable(await identify(), path.owner, target.channel);
  const source = parts.sourceOf(place);
  const reach: Reach = {
    isPublic: context.pathToken === undefined && effectiveVisibility(place.owner, place.channel) === "public",
    maxAge: policyOf(place.channel).maxAge,
  };
  if (target.kind === "channel-file" && target.file === "channeldata.json") {
    return await documentResponse(request, source, { section: undefined, name: "channeldata.json" }, reach);
  }
  if (target.kind === "subdir-file") {
    const name = SUBDIR_DOCUMENTS.find((document) => document === target.file);
    if (name) return await documentResponse(request, source, { section: target.subdir, name }, reach);
    const isPackage = formatOf(target.file) !== undefined;
    const file = isPackage ? await source.file(target.subdir, target.file) : undefined;
    if (file) return await packageResponse(request, target.file, file, reach);
  }
  throw notFound("The channel has no such file.");
}

async function documentResponse(
  request: Request,
  source: Source,
  place: DocumentPlace,
  reach: Reach,
): Promise<Response> {
  const headers = documentCaching(reach);
  headers.set("content-type", CONTENT_TYPES[place.name]);
  if (reach.isPublic) headers.set("access-control-allow-origin", "*");
  const document = request.method === "HEAD" ? await source.peek(place) : await source.document(place);
  if (!document) return new Response(null, { headers });
  const etag = strongEtag(document.hash);
  headers.set("etag", etag);
  headers.set("last-modified", new Date(document.lastModified).toUTCString());
  headers.set("accept-ranges", "bytes");
  // Only the exact bytes decide: a date says nothing about which of several documents a client holds.
  if (matchesEtag(request.headers.get("if-none-match"), etag)) return new Response(null, { status: 304, headers });
  const { size } = document;
  return await rangedResponse(request, headers, {
    size,
    etag,
    open: async (range) => sliceOf(await document.open(), range),
  });
}

async function packageResponse(request: Request, name: string, file: SourceFile, reach: Reach): Promise<Response> {
  const headers = packageCaching({ ...reach, immutable: false });
  const etag = strongEtag(file.sha256);
  headers.set("content-type", "application/octet-stream");
  // Stored names are ASCII of a narrow alphabet, so they are safe in a quoted string.
  headers.set("content-disposition", `attachment; filename="${name}"`);
  headers.set("etag", etag);
  headers.set("last-modified", new Date(file.lastModified).toUTCString());
  headers.set("accept-ranges", "bytes");
  if (reach.isPublic) headers.set("access-control-allow-origin", "*");
  if (file.state === "yanked") headers.set("warning", '299 condarium "this file was yanked from the channel"');
  if (matchesEtag(request.headers.get("if-none-match"), etag)) return new Response(null, { status: 304, headers });
  return await rangedResponse(request, headers, { size: file.size, etag, open: file.open });
}

type Content = {
  readonly size: number;
  readonly etag: string;
  open(range?: { readonly start: number; readonly end: number }): Promise<Blob>;
};

async function rangedResponse(request: Request, headers: Headers, content: Content): Promise<Response> {
  const { size } = content;
  if (request.method === "HEAD") {
    headers.set("content-length", String(size));
    return new Response(null, { headers });
  }
  const holds = ifRangeHolds(request.headers.get("if-range"), content.etag);
  const range = holds ? parseRange(request.headers.get("range"), size) : { kind: "none" as const };
  switch (range.kind) {
    case "unsatisfiable":
      headers.set("content-range", `bytes */${size}`);
      headers.set("cache-control", "no-store");
      return new Response(null, { status: 416, headers });
    case "range":
      headers.set("content-range", `bytes ${range.start}-${range.end}/${size}`);
      return new Response(await content.open(range), { status: 206, headers });
    case "none":
      return new Response(await content.open(), { headers });
  }
}

function sliceOf(blob: Blob, range: { readonly start: number; readonly end: number } | undefined): Blob {
  return range ? blob.slice(range.start, range.end + 1) : blob;
}
