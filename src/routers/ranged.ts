// Sends content in full, as a range, or only its headers, as the request demands.

import { matchesEtag } from "../modules/http/etag.ts";
import { ifRangeHolds, parseRange, rangeByBun } from "../modules/http/range.ts";
import type { Body, Sendable } from "../services/bodies.ts";
import type { Call } from "./request-pipeline.ts";
import type { CachedBody } from "./response-cache.ts";

export type Content = {
  /** Quoted, strong. */
  readonly etag: string;
  readonly sendable: Sendable;
};

/** The request; `allowCaching` lets the response be replayed to identical requests. */
export type Asking = Pick<Call, "request" | "allowCaching" | "isOpen">;

const NO_CONTENT: CachedBody = { content: () => null, heldBytes: 0 };

export async function contentResponse(asking: Asking, headers: Headers, content: Content): Promise<Response> {
  const { request, allowCaching, isOpen } = asking;
  const { etag, sendable } = content;
  const { size } = sendable;
  headers.set("etag", etag);
  // Only the ETag counts: a date does not identify which representation a client holds.
  if (matchesEtag(request.headers.get("if-none-match"), etag)) {
    allowCaching(NO_CONTENT);
    return new Response(null, { status: 304, headers });
  }
  headers.set("accept-ranges", "bytes");
  if (request.method === "HEAD") {
    allowCaching(NO_CONTENT);
    headers.set("content-length", String(size));
    return new Response(null, { headers });
  }
  const [asked, condition] = [request.headers.get("range"), request.headers.get("if-range")];
  const range = ifRangeHolds(condition, etag) ? parseRange(asked, size) : { kind: "none" as const };
  switch (range.kind) {
    case "unsatisfiable":
      headers.set("content-range", `bytes */${size}`);
      headers.set("cache-control", "no-store");
      return new Response(null, { status: 416, headers });
    case "range":
      headers.set("content-range", `bytes ${range.start}-${range.end}/${size}`);
      headers.set("content-length", String(range.end + 1 - range.start));
      return new Response(await sendable.open({ range, isOpen }), { status: 206, headers });
    case "none": {
      const body = await sendable.open({ isOpen });
      const byBun = rangeByBun(asked, condition, etag);
      if (byBun === "always") return new Response(detached(body), { headers });
      if (byBun === "by-last-modified") headers.delete("last-modified");
      // Bun sets the same header itself, but too late for the log.
      headers.set("content-length", String(size));
      allowCaching({ content: (next) => sendable.replayable(next), heldBytes: sendable.heldBytes });
      return new Response(body, { headers });
    }
  }
}

/** Returns the same bytes as a stream that Bun does not recognize as a file; such a response has no length. */
function detached(body: Body): ReadableStream<Uint8Array<ArrayBuffer>> {
  const reader = (body instanceof Blob ? body.stream() : body).getReader();
  return new ReadableStream(
    {
      pull: async (controller) => {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
