// Content in full or in part, as the request asks.

import { ifRangeHolds, parseRange } from "../../modules/http/range.ts";

export type Content = {
  readonly size: number;
  /** Quoted, strong. */
  readonly etag: string;
  /** Both ends of the range are inclusive. */
  open(range?: { readonly start: number; readonly end: number }): Promise<Blob> | Blob;
};

export async function rangedResponse(request: Request, headers: Headers, content: Content): Promise<Response> {
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
