// A document of a channel as an answer: validators of its exact bytes, caching, ranges, gzip for small plain JSON.

import { notFound, unavailable } from "../../errors.ts";
import { documentCaching } from "../../modules/http/cache-control.ts";
import { matchesEtag, strongEtag } from "../../modules/http/etag.ts";
import { contentTypeOf, type DocumentName } from "../../services/conda/documents/names.ts";
import type { DocumentKey, GzipForm, Source, SourceDocument } from "../../services/sources/source.ts";
import { contentResponse, type Asking } from "../ranged.ts";

/** How far an answer may travel: `public` ones are for everyone's caches. */
export type Reach = { readonly isPublic: boolean; readonly maxAge: number };

type CondaDocument = DocumentKey & { readonly name: DocumentName };

/** Larger documents have their `.zst`, which costs nothing at the time of the request. */
const GZIP_BELOW = 4 * 1024 ** 2;

/** Errors: `not-found` for a document that the channel does not offer, or not to this client. */
export async function documentResponse(
  asking: Asking,
  source: Source,
  key: CondaDocument,
  options: Reach & { readonly isOffered: boolean },
): Promise<Response> {
  const { request } = asking;
  const vary = varyOf(key);
  if (!options.isOffered)
    throw notFound("The channel does not offer this document to this client: use repodata.json.zst.", { vary });
  const headers = documentCaching(options);
  headers.set("content-type", contentTypeOf(key.name));
  if (options.isPublic) headers.set("access-control-allow-origin", "*");
  if (vary !== undefined) headers.set("vary", vary);
  const document = await (request.method === "HEAD" ? source.peek(key) : source.document(key));
  if (!document) return new Response(null, { headers });
  if (document.kind === "absent") throw notFound(document.why);
  headers.set("last-modified", new Date(document.lastModified).toUTCString());
  const gzip = wantsGzip(request, key, document) ? document.gzip : undefined;
  if (gzip) {
    const packed = await gzipResponse(asking, headers, document, gzip);
    if (packed) return packed;
    // Waiting takes time, in which a document may be replaced.
    if (!document.exists()) throw unavailable("The document changes right now. Ask again for it.", 1);
  }
  return await contentResponse(asking, headers, { etag: strongEtag(document.hash), sendable: document });
}

function varyOf({ name }: CondaDocument): string | undefined {
  if (name === "repodata_shards.msgpack.zst") return "User-Agent";
  return name.endsWith(".json") ? "Accept-Encoding" : undefined;
}

function wantsGzip(request: Request, { name }: CondaDocument, document: SourceDocument): boolean {
  if (!name.endsWith(".json") || document.size >= GZIP_BELOW || request.headers.has("range")) return false;
  return /(?:^|,)\s*gzip\s*(?:,|;\s*q=(?:1|0?\.[0-9]*[1-9])|$)/i.test(request.headers.get("accept-encoding") ?? "");
}

/** Undefined when the document has to be sent as it is. */
async function gzipResponse(
  asking: Asking,
  headers: Headers,
  { hash }: SourceDocument,
  gzip: GzipForm,
): Promise<Response | undefined> {
  const { request } = asking;
  const etag = strongEtag(`${hash}-gzip`);
  const isUnchanged = matchesEtag(request.headers.get("if-none-match"), etag);
  const isMade = request.method === "GET" && !isUnchanged;
  const packed = isMade ? await gzip.make() : gzip.find();
  if (isMade && !packed) return undefined;
  if (!isUnchanged) headers.set("content-encoding", "gzip");
  if (packed) return await contentResponse(asking, headers, { etag, sendable: packed });
  headers.set("etag", etag);
  return new Response(null, { status: isUnchanged ? 304 : 200, headers });
}
