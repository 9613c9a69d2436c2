// An S3 service in memory that fails on demand, for what a real one cannot be made to do. Checks no signature.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export type Fault =
  /** Answers with this status and code. */
  | { readonly kind: "answer"; readonly status: number; readonly code: string }
  /** Accepts the request, and never answers. */
  | { readonly kind: "hang" }
  /** Sends the headers and this many bytes of the body, then cuts the connection. */
  | { readonly kind: "cut"; readonly after: number }
  /** Stores the object, and claims another checksum. */
  | { readonly kind: "other-checksum" }
  /** Does what was asked, and cuts the connection instead of answering. */
  | { readonly kind: "lost-answer" };

export type Asked = { readonly method: string; readonly url: URL; readonly headers: IncomingMessage["headers"] };

export type FaultyService = {
  readonly endpoint: string;
  /** The faults of the next requests, in order; the last one stays when `isLasting`. */
  fail(faults: readonly (Fault | undefined)[], isLasting?: boolean): void;
  readonly asked: Asked[];
  readonly objects: Map<string, Buffer>;
  /** Bytes of bodies that were handed to connections. */
  readonly sentBytes: number;
  stop(): Promise<void>;
};

type State = {
  readonly objects: Map<string, Buffer>;
  readonly parts: Map<string, Map<number, Buffer>>;
  sentBytes: number;
};

const CHUNK = 64 * 1024;

export async function startFaultyService(): Promise<FaultyService> {
  const state: State = { objects: new Map(), parts: new Map(), sentBytes: 0 };
  const asked: Asked[] = [];
  let faults: (Fault | undefined)[] = [];
  let isLasting = false;
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    asked.push({ method: request.method ?? "", url, headers: request.headers });
    const fault = isLasting && faults.length === 1 ? faults[0] : faults.shift();
    void bodyOf(request).then((body) => answer(state, { request, response, url, body, fault }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    fail: (next, lasting = false) => {
      faults = [...next];
      isLasting = lasting;
    },
    asked,
    objects: state.objects,
    get sentBytes() {
      return state.sentBytes;
    },
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

type Call = {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly body: Buffer;
  readonly fault: Fault | undefined;
};

async function answer(state: State, call: Call): Promise<void> {
  const { request, response, url, body, fault } = call;
  if (fault?.kind === "hang") return;
  if (fault?.kind === "answer") {
    response.writeHead(fault.status, { "content-type": "application/xml" });
    return void response.end(`<Error><Code>${fault.code}</Code><Message>told to</Message></Error>`);
  }
  const name = url.pathname;
  const content = state.objects.get(name);
  if (request.method === "GET" && url.searchParams.has("list-type")) return list(state, call);
  if (request.method === "GET" || request.method === "HEAD") {
    const match = request.headers["if-match"];
    if (!content) return void response.writeHead(404).end();
    if (match !== undefined && match !== "*" && match !== etagOf(content)) return void response.writeHead(412).end();
    return await send(state, call, content);
  }
  if (request.method === "POST" && url.searchParams.has("uploadId") && state.parts.size === 0) {
    response.writeHead(404, { "content-type": "application/xml" });
    return void response.end("<Error><Code>NoSuchUpload</Code></Error>");
  }
  const xml = change(state, name, call, body);
  if (fault?.kind === "lost-answer") return void request.socket.destroy();
  const sum = request.headers["x-amz-checksum-sha256"];
  response.writeHead(request.method === "DELETE" ? 204 : 200, {
    etag: '"etag"',
    ...(fault?.kind === "other-checksum" ? { "x-amz-checksum-sha256": "b3RoZXI=" } : {}),
    ...(fault === undefined && typeof sum === "string" ? { "x-amz-checksum-sha256": sum } : {}),
  });
  response.end(xml);
}

function change(state: State, name: string, { request, url }: Call, body: Buffer): string | undefined {
  const upload = url.searchParams.get("uploadId");
  if (request.method === "POST" && upload === null) {
    state.parts.set("u1", new Map());
    return "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>";
  }
  if (request.method === "POST") {
    const parts = [...(state.parts.get("u1") ?? [])].sort(([a], [b]) => a - b);
    state.objects.set(name, Buffer.concat(parts.map(([, part]) => part)));
    state.parts.clear();
    return "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>";
  }
  if (request.method === "PUT" && upload !== null)
    state.parts.get(upload)?.set(Number(url.searchParams.get("partNumber")), body);
  else if (request.method === "PUT") state.objects.set(name, body);
  else if (upload !== null) state.parts.delete(upload);
  else state.objects.delete(name);
  return undefined;
}

async function send(state: State, { request, response, fault }: Call, content: Buffer): Promise<void> {
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  const [start, end] = range ? [Number(range[1]), Number(range[2]) + 1] : [0, content.byteLength];
  response.writeHead(range ? 206 : 200, {
    etag: etagOf(content),
    "content-length": end - start,
    "last-modified": new Date(0).toUTCString(),
  });
  if (request.method === "HEAD") return void response.end();
  const ended = closed(response);
  const last = fault?.kind === "cut" ? Math.min(end, start + fault.after) : end;
  for (let at = start; at < last; at += CHUNK) {
    const chunk = content.subarray(at, Math.min(last, at + CHUNK));
    state.sentBytes += chunk.byteLength;
    if (!response.write(chunk)) await Promise.race([drained(response), ended]);
    if (response.destroyed) return;
  }
  if (fault?.kind === "cut") {
    await Bun.sleep(20);
    return void request.socket.destroy();
  }
  response.end();
}

function list({ objects }: State, { response, url }: Call): void {
  const [bucket] = url.pathname.split("/").filter((part) => part !== "");
  const keys = [...objects.keys()].map((name) => name.slice(`/${bucket}/`.length));
  response.writeHead(200, { "content-type": "application/xml" });
  response.end(
    `<ListBucketResult>${keys.map((key) => `<Contents><Key>${key}</Key></Contents>`).join("")}</ListBucketResult>`,
  );
}

function etagOf(content: Buffer): string {
  return `"${Bun.hash(content).toString(16)}"`;
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => response.once("drain", resolve));
}

function closed(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => response.once("close", resolve));
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
