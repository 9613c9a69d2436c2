// A document of a channel as a response: ETag, caching, ranges, and gzip for small plain JSON.

import { notFound, unavailable } from "../../errors.ts";
import { documentCaching } from "../../modules/http/cache-control.ts";
import { matchesEtag, strongEtag } from "../../modules/http/etag.ts";
import { contentTypeOf, type DocumentName } from "../../services/conda/documents/names.ts";
import type { DocumentKey, GzipForm, Source, SourceDocument } from "../../services/sources/source.ts";
import { contentResponse, type Asking } from "../ranged.ts";

/** How a response can be cached: `isPublic` allows shared caches; `maxAge` is in seconds. */
export type Reach = { readonly isPublic: boolean; readonly maxAge: number };

type CondaDocument = DocumentKey & { readonly name: DocumentName };

/** Clients read larger documents as `.zst`, which needs no compression at request time. */
const GZIP_BELOW = 4 * 1024 ** 2;

/** Errors: `not-found` for a document that the channel does not offer at all or not to this client. */
export async function documentResponse(
  asking: Asking,
  source: Source,
  key: CondaDocument,
  options: Reach & { readonly isOffered: boolean },
): Promise<Response> {
  const { request } = asking;
  const vary = varyOf(key);
  if (!options.isOffered)
    throw notFound("The channel does not offer this document to this client. Use repodata.json.zst.", { vary });
  const headers = documentCaching(options);
  headers.set("content-type", contentTypeOf(key.name));
  if (vary !== undefined) headers.set("vary", vary);
  const document = await (request.method === "HEAD" ? source.peek(key) : source.document(key));
  if (!document) return new Response(null, { headers });
  if (document.kind === "absent") throw notFound(document.why);
  headers.set("last-modified", new Date(document.lastModified).toUTCString());
  const gzip = wantsGzip(request, key, document) ? document.gzip : undefined;
  if (gzip) {
    const packed = await gzipResponse(asking, headers, document, gzip);
    if (packed) return packed;
    // The document can be replaced while this request waits for the gzip form.
    if (!document.exists()) throw unavailable("This index document was just replaced. Retry in a second.", 1);
  }
  return await contentResponse(asking, headers, { etag: strongEtag(document.hash), sendable: document });
}

function varyOf({ name }: CondaDocument): string | undefined {
  if (name === "repodata_shards.msgpack.zst") return "User-Agent";
  return name.endsWith(".json") ? "Accept-Encoding" : undefined;
}

function wantsGzip(request: Request, { name }: CondaDocument, document: SourceDocument): boolean {
  if (!name.endsWith(".json") || document.size >= GZIP_BELOW) return false;
  // Clients decode a part of a gzip form wrongly, except for one that already has its beginning.
  if (request.headers.has("range") && request.headers.get("if-range") !== gzipEtag(document)) return false;
  return /(?:^|,)\s*gzip\s*(?:,|;\s*q=(?:1|0?\.[0-9]*[1-9])|$)/i.test(request.headers.get("accept-encoding") ?? "");
}

function gzipEtag({ hash }: SourceDocument): string {
  return strongEtag(`${hash}-gzip`);
}

/** Undefined when the document must be sent uncompressed. */
async function gzipResponse(
  asking: Asking,
  headers: Headers,
  document: SourceDocument,
  gzip: GzipForm,
): Promise<Response | undefined> {
  const { request } = asking;
  const etag = gzipEtag(document);
  const isUnchanged = matchesEtag(request.headers.get("if-none-match"), etag);
  const needsBody = request.method === "GET" && !isUnchanged;
  const packed = needsBody ? await gzip.make() : gzip.find();
  if (needsBody && !packed) return undefined;
  if (!isUnchanged) headers.set("content-encoding", "gzip");
  if (packed) return await contentResponse(asking, headers, { etag, sendable: packed });
  headers.set("etag", etag);
  return new Response(null, { status: isUnchanged ? 304 : 200, headers });
}
