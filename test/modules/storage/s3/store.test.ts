// The S3 store on a real S3 service.

import { describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { withBlobCache } from "../../../../src/modules/storage/blob-cache.ts";
import type { BlobStore } from "../../../../src/modules/storage/blob-store.ts";
import type { S3Description } from "../../../../src/modules/storage/description.ts";
import { blobKey, fileListKey, shardKey } from "../../../../src/modules/storage/keys.ts";
import { createS3Store } from "../../../../src/modules/storage/s3/store.ts";
import { sha256Hex } from "../../../../src/modules/hash.ts";
import { blobStoreConformance } from "../../../conformance/blob-store.ts";
import { hasVersitygw, sharedVersitygw, type SharedVersitygw } from "../../../support/versitygw.ts";
import { errorOf } from "../../error-of.ts";

let prefixes = 0;

if (hasVersitygw("the S3 store on a real service")) {
  const service = await sharedVersitygw();
  suites(service, await service.createBucket());
}

function suites(service: SharedVersitygw, bucket: string): void {
  const [accessKeyId, secretAccessKey] = [service.accessKey, service.secretKey];
  const describeStore = (more: Partial<S3Description> = {}): S3Description => ({
    kind: "s3",
    bucket,
    prefix: `some/prefix-${(prefixes += 1)}/`,
    endpoint: service.endpoint,
    region: "us-east-1",
    pathStyle: true,
    credentials: { accessKeyId, secretAccessKey, sessionToken: undefined },
    ...more,
  });
  const client = new S3Client({
    endpoint: service.endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  });

  blobStoreConformance("s3", async () => {
    const folder = await mkdtemp(join(tmpdir(), "condarium-s3-"));
    const description = describeStore();
    return {
      open: () => createS3Store({ root: folder, reserve: 0, description, offersUrls: false }),
      leftovers: () => readdir(join(folder, "tmp")),
      close: () => rm(folder, { recursive: true }),
      // The service's own checksum shows the damage.
      keepsDamageOfSameSize: false,
    };
  });

  describe("a store in a bucket", () => {
    async function withStore<T>(
      work: (store: BlobStore, folder: string, description: S3Description) => Promise<T>,
      more: Partial<S3Description> = {},
    ): Promise<T> {
      const root = await mkdtemp(join(tmpdir(), "condarium-s3-"));
      const description = describeStore(more);
      try {
        const store = withBlobCache(createS3Store({ root, reserve: 0, description, offersUrls: true }), {
          root,
          maxBytes: 4 * 1024 ** 2,
        });
        return await work(store, root, description);
      } finally {
        await rm(root, { recursive: true });
      }
    }

    test("sends a file above 64 MiB in parts, which the service checks, and reads ranges across them", async () => {
      await withStore(async (store, _, { prefix }) => {
        const size = 70 * 1024 ** 2 + 5;
        const content = new Uint8Array(size).map((_value, at) => (at * 31 + (at >> 16)) & 255);
        const key = blobKey(sha256Hex(content));
        const staged = await store.stage();
        for (let at = 0; at < size; at += 1024 ** 2) await staged.append(content.subarray(at, at + 1024 ** 2));
        await staged.sync();
        await staged.promote(key);
        await staged.discard();
        const opened = await store.open(key);
        expect(opened?.size).toBe(size);
        expect(opened && sha256Hex(await opened.bytes())).toBe(key.slice(-64));
        const [start, end] = [8 * 1024 ** 2 - 3, 12 * 1024 ** 2];
        const part = await (await store.open(key, { start, end }))?.bytes();
        expect(part && Buffer.compare(part, content.subarray(start, end + 1))).toBe(0);
        const head = await client.send(
          new HeadObjectCommand({ Bucket: bucket, Key: prefix + key, ChecksumMode: "ENABLED" }),
        );
        expect(head.ChecksumSHA256).toEndWith("-9");
        expect(await uploadsBelow(prefix)).toEqual([]);
      });
    }, 60_000);

    test("keeps the checksum of a whole file in the service, below its prefix", async () => {
      await withStore(async (store, _, { prefix }) => {
        const content = new TextEncoder().encode("content");
        const key = blobKey(sha256Hex(content));
        await promoted(store, key, content);
        const head = await client.send(
          new HeadObjectCommand({ Bucket: bucket, Key: prefix + key, ChecksumMode: "ENABLED" }),
        );
        expect(head.ChecksumSHA256).toBe(Buffer.from(key.slice(-64), "hex").toString("base64"));
        expect((await errorOf(client.send(new GetObjectCommand({ Bucket: bucket, Key: key })))).name).toBe("NoSuchKey");
      });
    });

    test("reads small content from the cache of the node, unless it is damaged, deleted or another", async () => {
      await withStore(async (store, folder) => {
        const content = new TextEncoder().encode("content of a shard");
        const key = shardKey(7, sha256Hex(content));
        await store.put(key, content);
        await store.open(key);
        const name = join(folder, "cache", key.slice(-64));
        expect(await Bun.file(name).text()).toBe("content of a shard");
        // Damage of the same size is found by the hash, and mended from the bucket.
        await Bun.write(name, "CONTENT OF A SHARD");
        expect(await (await store.open(key))?.text()).toBe("content of a shard");
        expect(await Bun.file(name).text()).toBe("content of a shard");
        expect(await (await store.open(key, { start: 8, end: 9 }))?.text()).toBe("of");
        await store.delete(key);
        expect(await store.open(key)).toBeUndefined();
        // A file list is under the hash of its package: only the bucket knows what it is now.
        await store.put(fileListKey("a".repeat(64)), content);
        await store.open(fileListKey("a".repeat(64)));
        expect(await readdir(join(folder, "cache"))).toEqual([]);
      });
    });

    test("keeps its cache within its bound, and goes on without it", async () => {
      await withStore(async (store, folder) => {
        const contents = Array.from({ length: 8 }, (_, at) => new Uint8Array(1_000_000).fill(at));
        for (const content of contents) {
          const key = blobKey(sha256Hex(content));
          await store.put(key, content);
          await store.open(key);
        }
        expect((await readdir(join(folder, "cache"))).sort()).toEqual(
          contents
            .slice(-4)
            .map((content) => sha256Hex(content))
            .sort(),
        );
        await rm(join(folder, "cache"), { recursive: true });
        const last = contents[7] ?? new Uint8Array();
        expect((await store.open(blobKey(sha256Hex(last))))?.size).toBe(1_000_000);
      });
    });

    test("signs URLs that give one blob to one method, under its name", async () => {
      await withStore(async (store) => {
        const content = new TextEncoder().encode("0123456789");
        const key = blobKey(sha256Hex(content));
        await promoted(store, key, content);
        const asked = { fileName: "a-1-0.conda", isPublic: false } as const;
        const url = (await store.signedUrl?.(key, { ...asked, method: "GET" })) ?? "";
        const answer = await fetch(url, { headers: { range: "bytes=2-4" } });
        expect([answer.status, await answer.text()]).toEqual([206, "234"]);
        expect(answer.headers.get("content-disposition")).toBe('attachment; filename="a-1-0.conda"');
        expect(answer.headers.get("cache-control")).toBe("private, no-store");
        expect(new URL(url).searchParams.get("X-Amz-Expires")).toBe("300");
        expect((await fetch(url, { method: "PUT", body: "x" })).status).toBe(403);
        const head = (await store.signedUrl?.(key, { ...asked, method: "HEAD" })) ?? "";
        expect((await fetch(head, { method: "HEAD" })).status).toBe(200);
      });
    });

    test("sweeps its own abandoned uploads and no others", async () => {
      await withStore(async (store, _, { prefix }) => {
        const Key = prefix + blobKey("a".repeat(64));
        await client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
        // It is of today, so a live node may be sending it.
        await store.sweep();
        expect(await uploadsBelow(prefix)).toEqual([Key]);
      });
    });

    test.each([
      ["a missing bucket", { bucket: "no-such-bucket" }, "Create it"],
      ["a wrong key", { credentials: { accessKeyId: "a", secretAccessKey: "b", sessionToken: undefined } }, "AWS_"],
      [
        "a wrong secret",
        { credentials: { accessKeyId: "test-access-key", secretAccessKey: "b", sessionToken: undefined } },
        "AWS_",
      ],
      ["nobody at the address", { endpoint: "http://127.0.0.1:1" }, "Check the URL"],
    ])(
      "refuses %s at start, and says what to do",
      async (_, more, remedy) => {
        await withStore(async (store) => {
          const error = await errorOf(store.probe());
          expect(error).toMatchObject({ code: "usage", message: expect.stringContaining(remedy) });
        }, more);
      },
      15_000,
    );

    test.each([
      ["a missing bucket", { bucket: "no-such-bucket" }],
      ["a wrong key", { credentials: { accessKeyId: "a", secretAccessKey: "b", sessionToken: undefined } }],
      ["nobody at the address", { endpoint: "http://127.0.0.1:1" }],
    ])("is not ready with %s, and says no more than that", async (_, more) => {
      await withStore(async (store) => {
        const startedAt = performance.now();
        const error = await errorOf(store.requireReady());
        expect(error).toMatchObject({ code: "unavailable", facts: { part: "storage" }, cause: expect.anything() });
        expect(error.message).toStartWith("The server cannot use its storage now.");
        expect(performance.now() - startedAt).toBeLessThan(5000);
      }, more);
      await withStore(async (store) => expect(await store.requireReady()).toBeUndefined());
    });

    test("lists more keys than the service puts on one page", async () => {
      await withStore(async (store, _, { prefix }) => {
        const keys = Array.from({ length: 1100 }, (_value, at) => shardKey(at % 2, sha256Hex(`${at}`)));
        for (const key of keys) await Bun.write(join(service.folder, bucket, prefix, key), "x");
        expect((await Array.fromAsync(store.list("shards/"))).sort()).toEqual(keys.sort());
        expect(await store.folders("shards")).toEqual(["0", "1"]);
      });
    });

    test("stages where its process does, and sweeps nothing of another process", async () => {
      const root = await mkdtemp(join(tmpdir(), "condarium-s3-"));
      const storeOf = (staging: string): BlobStore =>
        createS3Store({ root, reserve: 0, description: describeStore(), offersUrls: false, staging });
      const [first, second] = [storeOf("process-1"), storeOf("process-2")];
      const staged = await first.stage();
      expect(staged.path).toStartWith(join(root, "tmp", "process-1"));
      expect(await second.sweep()).toBe(0);
      await staged.append(new Uint8Array(10));
      await staged.discard();
      await rm(root, { recursive: true });
    });

    test("leaves nothing of its probe", async () => {
      await withStore(async (store, _, { prefix }) => {
        await store.probe();
        const key = blobKey("b".repeat(64));
        expect(await Array.fromAsync(store.list("blobs/"))).toEqual([]);
        await store.put(key, new Uint8Array(1));
        expect(await Array.fromAsync(store.list("blobs/"))).toEqual([key]);
        expect(await store.folders("shards")).toEqual([]);
        expect(prefix).toStartWith("some/");
      });
    });
  });

  async function uploadsBelow(prefix: string): Promise<string[]> {
    const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix }));
    return Uploads.flatMap(({ Key }) => (Key === undefined ? [] : [Key]));
  }
}

async function promoted(store: BlobStore, key: ReturnType<typeof blobKey>, content: Uint8Array): Promise<void> {
  const staged = await store.stage();
  await staged.append(content);
  await staged.sync();
  await staged.promote(key);
  await staged.discard();
}
