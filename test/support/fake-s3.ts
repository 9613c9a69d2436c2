// An S3 service in memory with the faults that real ones have, switched while it runs. It checks no signatures.
// By hand: moto and s3rver accept wrong checksums, and no library has these faults.

import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import {
  etagOf,
  failure,
  operationOf,
  work,
  type Answer,
  type Call,
  type Operation,
  type Store,
} from "./fake-s3-store.ts";

export type S3Fault =
  | { readonly kind: "none" }
  /** An answer without the work; `code` is S3's: SlowDown, InternalError, AccessDenied, RequestTimeTooSkewed … */
  | (Reach & { readonly kind: "error"; readonly status: number; readonly code: string; readonly retryAfter?: number })
  /** No answer; the work is done or not. */
  | (Reach & { readonly kind: "hang"; readonly work: "done" | "not done" })
  /** The connection is cut without an answer; the work is done or not. */
  | (Reach & { readonly kind: "cut"; readonly work: "done" | "not done" })
  /** 200 with an error in its body and without the work, as of a completion that fails late. */
  | (Reach & { readonly kind: "error in 200" })
  /** Half of the announced body, then the cut. */
  | (Reach & { readonly kind: "cut body" })
  /** Half of the body, announced as if it were all. */
  | (Reach & { readonly kind: "short body" })
  /** Another last byte: of what is read, or of what is stored, whatever checksum came with it. */
  | (Reach & { readonly kind: "wrong body" })
  | (Reach & { readonly kind: "wrong etag" })
  /** Writes are acknowledged, and done by `settle`: what is read until then is old. */
  | (Reach & { readonly kind: "late" });

/** Which requests, default all, and how many of them, default all. */
type Reach = { readonly on?: Operation; readonly times?: number };

export type FakeS3 = Store & {
  readonly endpoint: string;
  setFault(fault: S3Fault): void;
  /** How many requests the fault has met since it was set. */
  hits(): number;
  /** Does what late writes have put off. */
  settle(): void;
  /** The operations so far, as they came. */
  readonly seen: readonly Operation[];
  close(): Promise<void>;
};

export async function startFakeS3(): Promise<FakeS3> {
  const store: Store = { objects: new Map(), uploads: new Map() };
  const seen: Operation[] = [];
  const late: Call[] = [];
  let fault: S3Fault = { kind: "none" };
  let hits = 0;
  const faultOf = (operation: Operation): S3Fault => {
    if (fault.kind === "none") return fault;
    if ((fault.on ?? operation) !== operation || hits >= (fault.times ?? Infinity)) return { kind: "none" };
    hits++;
    return fault;
  };
  const server = createServer((request, response) => {
    void (async () => {
      const call = await callOf(request);
      if (call === undefined) return send(response, failure(501, "NotImplemented"));
      seen.push(call.operation);
      respond({ call, store, late, response, fault: faultOf(call.operation) });
    })().catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    ...store,
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    setFault: (next) => void ([fault, hits] = [next, 0]),
    hits: () => hits,
    settle: () => late.splice(0).forEach((call) => work(call, store)),
    seen,
    close: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

type Response = {
  readonly call: Call;
  readonly store: Store;
  readonly late: Call[];
  readonly response: ServerResponse;
  readonly fault: S3Fault;
};

function respond({ call, store, late, response, fault }: Response): void {
  switch (fault.kind) {
    case "none":
      return send(response, work(call, store));
    case "error": {
      const { status, code, retryAfter } = fault;
      return send(response, failure(status, code, retryAfter === undefined ? {} : { "retry-after": `${retryAfter}` }));
    }
    case "hang":
    case "cut":
      if (fault.work === "done") work(call, store);
      return fault.kind === "cut" ? void response.socket?.destroy() : undefined;
    case "error in 200":
      return send(response, { ...failure(500, "InternalError"), status: 200 });
    case "late":
      late.push(call);
      return send(response, { status: 200, headers: { etag: etagOf(call.body) }, body: Buffer.alloc(0) });
    case "wrong body":
      if (call.operation === "get") {
        const { body, ...rest } = work(call, store);
        return send(response, { ...rest, body: spoilt(body) });
      }
      return send(response, work({ ...call, body: spoilt(call.body), headers: {} }, store));
    case "cut body":
      return sendHalf(response, work(call, store));
    case "short body": {
      const { body, ...rest } = work(call, store);
      return send(response, { ...rest, body: body.subarray(0, Math.floor(body.length / 2)) });
    }
    case "wrong etag": {
      const { headers, ...rest } = work(call, store);
      return send(response, { ...rest, headers: { ...headers, etag: etagOf(Buffer.from("other bytes")) } });
    }
  }
}

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { ...headers, "content-length": body.length });
  response.end(body);
}

function sendHalf(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { ...headers, "content-length": body.length });
  response.write(body.subarray(0, Math.floor(body.length / 2)), () => void response.socket?.destroy());
}

function spoilt(body: Buffer): Buffer {
  const other = Buffer.from(body);
  const last = other.length - 1;
  if (last >= 0) other[last] = (other[last] ?? 0) ^ 1;
  return other;
}

async function callOf(request: IncomingMessage): Promise<Call | undefined> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const url = new URL(request.url ?? "/", "http://fake");
  const path = decodeURIComponent(url.pathname.slice(1)).replace(/\/$/, "");
  const operation = operationOf(request.method ?? "", path, url.searchParams);
  if (operation === undefined) return undefined;
  const headers = request.headers as Record<string, string | undefined>;
  const raw = Buffer.concat(chunks);
  const body = headers["x-amz-content-sha256"]?.startsWith("STREAMING-") === true ? unchunked(raw) : raw;
  return { operation, path, query: url.searchParams, headers, body };
}

/** The body inside S3's own chunks, without their signatures and trailers. */
function unchunked(raw: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; ;) {
    const start = raw.indexOf("\r\n", at) + 2;
    const length = Number.parseInt(raw.toString("latin1", at, start), 16);
    if (!(length > 0)) return Buffer.concat(parts);
    parts.push(raw.subarray(start, start + length));
    at = start + length + 2;
  }
}
