// The fake S3 service of the fault tests, with Bun's S3 client and with plain requests.

import { S3Client } from "bun";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { startFakeS3, type FakeS3 } from "./fake-s3.ts";

describe("the fake S3 service", () => {
  let s3: FakeS3;
  let client: S3Client;
  beforeEach(async () => {
    s3 = await startFakeS3();
    const keys = { accessKeyId: "key", secretAccessKey: "secret" };
    client = new S3Client({ endpoint: s3.endpoint, region: "us-east-1", bucket: "b", retry: 0, ...keys });
  });
  afterEach(() => s3.close());

  const request = (method: string, path: string, headers: Record<string, string> = {}, body?: string) =>
    fetch(`${s3.endpoint}/b/${path}`, { method, headers, body: body ?? null });
  const stored = (key: string) => s3.objects.get(`b/${key}`)?.bytes.toString();

  test("writes, reads, reads a range, tells, lists page by page and deletes", async () => {
    for (const key of ["a/1", "a/2", "a/3", "b&<1"]) await client.write(key, `bytes of ${key}`);
    expect(await client.file("a/1").text()).toBe("bytes of a/1");
    expect(await client.file("a/1").slice(6, 8).text()).toBe("of");
    expect((await client.stat("a/1")).size).toBe(12);
    expect(await client.exists("a/9")).toBe(false);
    const first = await client.list({ prefix: "a/", maxKeys: 2 });
    expect([first.isTruncated, first.contents?.map(({ key }) => key)]).toEqual([true, ["a/1", "a/2"]]);
    const rest = await client.list({ prefix: "a/", continuationToken: first.nextContinuationToken ?? "" });
    expect([rest.isTruncated, rest.contents?.map(({ key }) => key)]).toEqual([false, ["a/3"]]);
    expect((await client.list({ prefix: "b" })).contents?.map(({ key }) => key)).toEqual(["b&<1"]);
    await client.delete("a/1");
    expect(client.file("a/1").text()).rejects.toMatchObject({ code: "NoSuchKey" });
  });

  test("puts the parts of an upload together in the asked order, and lists what is not complete", async () => {
    const writer = client.file("big").writer({ partSize: 5 * 1024 * 1024 });
    const part = "0123456789abcdef".repeat((6 * 1024 * 1024) / 16);
    for (let n = 0; n < 3; n++) await writer.write(part);
    await writer.end();
    expect(stored("big")).toBe(part.repeat(3));
    expect(s3.seen).toContain("complete");
    expect(s3.uploads.size).toBe(0);
    const started = await (await request("POST", "left?uploads")).text();
    const id = /<UploadId>(.*)<\/UploadId>/.exec(started)?.[1] ?? "";
    await request("PUT", `left?uploadId=${id}&partNumber=1`, {}, "x");
    expect(await (await request("GET", "?uploads")).text()).toContain(`<Key>left</Key><UploadId>${id}</UploadId>`);
    expect((await request("POST", `left?uploadId=${id}`, {}, "<PartNumber>2</PartNumber>")).status).toBe(400);
    expect((await request("DELETE", `left?uploadId=${id}`)).status).toBe(204);
    expect([s3.uploads.size, stored("left")]).toEqual([0, undefined]);
  });

  test("refuses wrong checksums, and a second object under `If-None-Match: *`", async () => {
    const sha256 = (text: string) => createHash("sha256").update(text).digest("base64");
    const wrong = await request("PUT", "a", { "x-amz-checksum-sha256": sha256("other") }, "bytes");
    expect([wrong.status, await wrong.text()]).toEqual([400, expect.stringContaining("BadDigest")]);
    expect((await request("PUT", "a", { "content-md5": sha256("bytes") }, "bytes")).status).toBe(400);
    expect(stored("a")).toBeUndefined();
    const right = { "x-amz-checksum-sha256": sha256("bytes"), "if-none-match": "*" };
    expect((await request("PUT", "a", right, "bytes")).status).toBe(200);
    expect((await request("PUT", "a", { "if-none-match": "*" }, "other")).status).toBe(412);
    expect(stored("a")).toBe("bytes");
  });

  test("takes the bytes out of chunks with a trailer", async () => {
    const headers = { "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER" };
    await request("PUT", "a", headers, "5\r\nbytes\r\n3\r\n\r\n!\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n");
    expect(stored("a")).toBe("bytes\r\n!");
  });

  test.each([
    [500, "InternalError"],
    [503, "SlowDown"],
    [403, "AccessDenied"],
    [403, "RequestTimeTooSkewed"],
  ])("answers %d %s as often as told, without the work", async (status, code) => {
    s3.setFault({ kind: "error", status, code, on: "put", times: 2, retryAfter: 3 });
    expect((await client.list()).keyCount).toBe(0);
    for (let n = 0; n < 2; n++) expect(client.write("a", "x")).rejects.toMatchObject({ code });
    expect([s3.hits(), stored("a")]).toEqual([2, undefined]);
    await client.write("a", "x");
    expect([s3.hits(), stored("a")]).toEqual([2, "x"]);
  });

  test.each([
    ["hang", "done"],
    ["hang", "not done"],
    ["cut", "done"],
    ["cut", "not done"],
  ] as const)("gives no answer (%s), with the work %s", async (kind, what) => {
    s3.setFault({ kind, work: what, on: "put", times: 1 });
    const put = request("PUT", "a", {}, "x").then(
      () => "answer",
      () => "cut",
    );
    expect(await Promise.race([put, Bun.sleep(200).then(() => "silence")])).toBe(kind === "cut" ? "cut" : "silence");
    expect(stored("a")).toBe(what === "done" ? "x" : undefined);
    expect((await request("PUT", "b", {}, "x")).status).toBe(200);
  });

  test("says 200 and means an error", async () => {
    s3.setFault({ kind: "error in 200", times: 1 });
    const response = await request("PUT", "a", {}, "x");
    expect([response.status, await response.text()]).toEqual([200, expect.stringContaining("<Code>InternalError")]);
    expect(stored("a")).toBeUndefined();
  });

  test("spoils what is read: cut, short, other bytes, another ETag", async () => {
    await client.write("a", "0123456789");
    const read = async (kind: "cut body" | "short body" | "wrong body" | "wrong etag") => {
      s3.setFault({ kind, on: "get", times: 1 });
      const response = await request("GET", "a");
      const length = response.headers.get("content-length");
      const isETag = response.headers.get("etag") === s3.objects.get("b/a")?.etag;
      return { length, isETag, body: await response.text().catch(() => "cut") };
    };
    expect(await read("cut body")).toEqual({ length: "10", isETag: true, body: "cut" });
    expect(await read("short body")).toEqual({ length: "5", isETag: true, body: "01234" });
    expect(await read("wrong body")).toEqual({ length: "10", isETag: true, body: "0123456788" });
    expect(await read("wrong etag")).toEqual({ length: "10", isETag: false, body: "0123456789" });
    expect(await client.file("a").text()).toBe("0123456789");
  });

  test("stores other bytes than it got, whatever checksum came with them", async () => {
    s3.setFault({ kind: "wrong body", on: "put", times: 1 });
    const digest = createHash("sha256").update("0123").digest("base64");
    expect((await request("PUT", "a", { "x-amz-checksum-sha256": digest }, "0123")).status).toBe(200);
    expect(stored("a")).toBe("0122");
  });

  test("acknowledges writes and deletions that are seen later", async () => {
    await client.write("old", "x");
    s3.setFault({ kind: "late", on: "put" });
    await client.write("new", "y");
    s3.setFault({ kind: "late", on: "delete" });
    await client.delete("old");
    const keys = async () => (await client.list()).contents?.map(({ key }) => key);
    expect([await keys(), await client.exists("new"), await client.exists("old")]).toEqual([["old"], false, true]);
    s3.settle();
    expect([await keys(), await client.exists("new"), await client.exists("old")]).toEqual([["new"], true, false]);
  });
});
