// A document of a channel as an answer: validators of its exact bytes, caching, ranges, gzip for small plain JSON.

import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { notFound } from "../../errors.ts";
import { documentCaching } from "../../modules/http/cache-control.ts";
import { matchesEtag, strongEtag } from "../../modules/http/etag.ts";
import { contentTypeOf, type DocumentPlace } from "../../services/index/documents.ts";
import type { BuiltDocument } from "../../services/index/engine.ts";
import type { Source } from "../../services/sources/source.ts";
import { contentResponse, type Asking } from "./ranged.ts";

/** How far an answer may travel: `public` ones are for everyone's caches. */
export type Reach = { readonly isPublic: boolean; readonly maxAge: number };

/** Larger documents have their `.zst`, which costs nothing at the time of the request. */
const GZIP_BELOW = 4 * 1024 ** 2;
const compress = promisify(gzip);

/** Errors: `not-found` for a document that the channel does not offer, or not to this client. */
export async function documentResponse(
  asking: Asking,
  source: Source,
  place: DocumentPlace,
  options: Reach & { readonly isOffered: boolean },
): Promise<Response> {
  const { request } = asking;
  const vary = varyOf(place);
  if (!options.isOffered)
    throw notFound("The channel does not offer this document to this client: use repodata.json.zst.", { vary });
  const headers = documentCaching(options);
  headers.set("content-type", contentTypeOf(place.name));
  if (options.isPublic) headers.set("access-control-allow-origin", "*");
  if (vary !== undefined) headers.set("vary", vary);
  const document = await (request.method === "HEAD" ? source.peek(place) : source.document(place));
  if (!document) return new Response(null, { headers });
  if (document.kind === "absent") throw notFound(document.why);
  headers.set("last-modified", new Date(document.lastModified).toUTCString());
  if (wantsGzip(request, place, document)) return await packedResponse(request, headers, document);
  const { size, isFile, isThere } = document;
  const open = (range?: { readonly start: number; readonly end: number }): Blob =>
    range ? document.open().slice(range.start, range.end + 1) : document.open();
  const etag = strongEtag(document.hash);
  return await contentResponse(asking, headers, { size, etag, open, isThere, isInMemory: !isFile });
}

function varyOf({ name }: DocumentPlace): string | undefined {
  if (name === "repodata_shards.msgpack.zst") return "User-Agent";
  return name.endsWith(".json") ? "Accept-Encoding" : undefined;
}

function wantsGzip(request: Request, { name }: DocumentPlace, document: BuiltDocument): boolean {
  if (!name.endsWith(".json") || document.size >= GZIP_BELOW || request.headers.has("range")) return false;
  return /(?:^|,)\s*gzip\s*(?:,|;\s*q=(?:1|0?\.[0-9]*[1-9])|$)/i.test(request.headers.get("accept-encoding") ?? "");
}

async function packedResponse(request: Request, headers: Headers, document: BuiltDocument): Promise<Response> {
  const etag = strongEtag(`${document.hash}-gzip`);
  headers.set("etag", etag);
  if (matchesEtag(request.headers.get("if-none-match"), etag)) return new Response(null, { status: 304, headers });
  headers.set("content-encoding", "gzip");
  if (request.method === "HEAD") return new Response(null, { headers });
  const bytes = await compress(await document.open().arrayBuffer());
  headers.set("content-length", String(bytes.byteLength));
  return new Response(bytes, { headers });
}
