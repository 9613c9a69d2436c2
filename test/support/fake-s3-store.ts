// What the fake S3 service does: objects and uploads in memory, with their checksums and conditions.

import { createHash } from "node:crypto";

export type Operation =
  | "put"
  | "get"
  | "head"
  | "head bucket"
  | "delete"
  | "list"
  | "create upload"
  | "put part"
  | "complete"
  | "abort"
  | "list uploads";

export type StoredObject = { readonly bytes: Buffer; readonly etag: string; readonly modified: Date };

export type Upload = { readonly path: string; readonly parts: Map<number, Buffer> };

export type Store = {
  /** By `bucket/key`. */
  readonly objects: Map<string, StoredObject>;
  /** That are neither complete nor aborted, by id. */
  readonly uploads: Map<string, Upload>;
};

export type Call = {
  readonly operation: Operation;
  /** `bucket/key`. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
};

export type Answer = { readonly status: number; readonly headers: Record<string, string>; readonly body: Buffer };

export function operationOf(method: string, path: string, query: URLSearchParams): Operation | undefined {
  const isUpload = query.has("uploadId");
  if (method === "PUT") return isUpload ? "put part" : "put";
  if (method === "DELETE") return isUpload ? "abort" : "delete";
  if (method === "HEAD") return path.includes("/") ? "head" : "head bucket";
  if (method === "GET") return query.has("uploads") ? "list uploads" : path.includes("/") ? "get" : "list";
  return query.has("uploads") ? "create upload" : isUpload ? "complete" : undefined;
}

export function work(call: Call, store: Store): Answer {
  const { operation, path, query, body } = call;
  const upload = store.uploads.get(query.get("uploadId") ?? "");
  switch (operation) {
    case "put":
      return badDigest(call) ?? put(call, store, body);
    case "get":
    case "head":
      return read(call, store);
    case "head bucket":
      return answer(200);
    case "delete":
      store.objects.delete(path);
      return answer(204);
    case "list":
      return list(path, query, store);
    case "list uploads": {
      const rows = [...store.uploads].filter(([, { path: of }]) => of.startsWith(`${path}/`));
      const items = rows.map(
        ([id, { path: of }]) => `<Upload><Key>${keyOf(of)}</Key><UploadId>${id}</UploadId></Upload>`,
      );
      return xml(`<ListMultipartUploadsResult>${items.join("")}</ListMultipartUploadsResult>`);
    }
    case "create upload": {
      const id = crypto.randomUUID();
      store.uploads.set(id, { path, parts: new Map() });
      return xml(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`);
    }
    case "put part":
      if (upload === undefined) return failure(404, "NoSuchUpload");
      return badDigest(call) ?? putPart(call, upload);
    case "complete":
      return upload === undefined ? failure(404, "NoSuchUpload") : complete(call, store, upload);
    case "abort":
      return store.uploads.delete(query.get("uploadId") ?? "") ? answer(204) : failure(404, "NoSuchUpload");
  }
}

export function failure(status: number, code: string, headers: Record<string, string> = {}): Answer {
  return { ...xml(`<Error><Code>${code}</Code><Message>${code}</Message></Error>`, headers), status };
}

export function etagOf(bytes: Buffer): string {
  return `"${createHash("md5").update(bytes).digest("hex")}"`;
}

function put(call: Call, { objects }: Store, bytes: Buffer): Answer {
  if (call.headers["if-none-match"] === "*" && objects.has(call.path)) return failure(412, "PreconditionFailed");
  const stored = { bytes, etag: etagOf(bytes), modified: new Date() };
  objects.set(call.path, stored);
  return answer(200, { etag: stored.etag });
}

function putPart({ query, body }: Call, upload: Upload): Answer {
  upload.parts.set(Number(query.get("partNumber")), body);
  return answer(200, { etag: etagOf(body) });
}

function complete(call: Call, store: Store, { parts }: Upload): Answer {
  const asked = [...call.body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber>/g)].map((match) => Number(match[1]));
  const bodies = asked.map((number) => parts.get(number));
  if (asked.length === 0 || bodies.some((part) => part === undefined)) return failure(400, "InvalidPart");
  const done = put(call, store, Buffer.concat(bodies.filter((part) => part !== undefined)));
  if (done.status !== 200) return done;
  store.uploads.delete(call.query.get("uploadId") ?? "");
  return xml(
    `<CompleteMultipartUploadResult><ETag>${escape(done.headers["etag"] ?? "")}</ETag></CompleteMultipartUploadResult>`,
  );
}

function read({ path, headers }: Call, { objects }: Store): Answer {
  const found = objects.get(path);
  // The bucket itself: each exists.
  if (!path.includes("/")) return answer(200);
  if (found === undefined) return failure(404, "NoSuchKey");
  const { bytes, etag, modified } = found;
  const base = { etag, "last-modified": modified.toUTCString(), "accept-ranges": "bytes" };
  const range = /^bytes=(\d*)-(\d*)$/.exec(headers["range"] ?? "");
  if (range === null) return answer(200, { ...base, ...checksum(bytes) }, bytes);
  const [first = "", last = ""] = range.slice(1);
  const from = first === "" ? Math.max(0, bytes.length - Number(last)) : Number(first);
  const to = first === "" || last === "" ? bytes.length - 1 : Math.min(Number(last), bytes.length - 1);
  if (from > to) return failure(416, "InvalidRange");
  return answer(206, { ...base, "content-range": `bytes ${from}-${to}/${bytes.length}` }, bytes.subarray(from, to + 1));
}

function list(bucket: string, query: URLSearchParams, { objects }: Store): Answer {
  const after = query.get("continuation-token") ?? query.get("start-after") ?? "";
  const limit = Number(query.get("max-keys") ?? 1000);
  const prefix = `${bucket}/${query.get("prefix") ?? ""}`;
  const paths = [...objects.keys()].filter((path) => path.startsWith(prefix) && keyOf(path) > after).toSorted();
  const page = paths.slice(0, limit);
  const rows = page.map((path) => {
    const { bytes, etag, modified } = objects.get(path) as StoredObject;
    const time = `<LastModified>${modified.toISOString()}</LastModified>`;
    return `<Contents><Key>${escape(keyOf(path))}</Key>${time}<ETag>${escape(etag)}</ETag><Size>${bytes.length}</Size></Contents>`;
  });
  const isCut = paths.length > page.length;
  const next = isCut ? `<NextContinuationToken>${escape(keyOf(page.at(-1) ?? ""))}</NextContinuationToken>` : "";
  const counts = `<KeyCount>${page.length}</KeyCount><IsTruncated>${isCut}</IsTruncated>`;
  return xml(`<ListBucketResult>${counts}${next}${rows.join("")}</ListBucketResult>`);
}

function badDigest({ headers, body }: Call): Answer | undefined {
  const sent = [headers["x-amz-checksum-sha256"] ?? "", headers["content-md5"] ?? ""];
  const real = ["sha256", "md5"].map((name) => createHash(name).update(body).digest("base64"));
  return sent.some((digest, i) => digest !== "" && digest !== real[i]) ? failure(400, "BadDigest") : undefined;
}

function checksum(bytes: Buffer): Record<string, string> {
  return { "x-amz-checksum-sha256": createHash("sha256").update(bytes).digest("base64") };
}

function answer(status: number, headers: Record<string, string> = {}, body: Buffer = Buffer.alloc(0)): Answer {
  return { status, headers, body };
}

function xml(body: string, headers: Record<string, string> = {}): Answer {
  return answer(200, { "content-type": "application/xml", ...headers }, Buffer.from(`<?xml version="1.0"?>${body}`));
}

function keyOf(path: string): string {
  return path.slice(path.indexOf("/") + 1);
}

function escape(text: string): string {
  return Bun.escapeHTML(text);
}
