// The whole server with its packages in a bucket of a real S3 service, and its database in the data folder.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sha256Hex } from "../src/modules/hash.ts";
import { errorOf } from "./modules/error-of.ts";
import { bytesOf, jsonOf } from "./support/answers.ts";
import { basic, PASSWORD, startTestApp, type TestApp } from "./support/app.ts";
import { shardHashes, shardIndexOf } from "./support/documents.ts";
import { buildPackage } from "./support/package-builder.ts";
import { problemsOf } from "./support/problems.ts";
import { noise } from "./support/noise.ts";
import { condarium, serve } from "./support/server-process.ts";
import { hasVersitygw, startVersitygw, type Versitygw } from "./support/versitygw.ts";

const NO_STORAGE = { part: "storage", detail: expect.stringContaining("cannot use its storage") };
const SHARDS = "/alice/main/noarch/repodata_shards.msgpack.zst";

describe.skipIf(!hasVersitygw("the server with S3 storage"))("the server with an S3 bucket", () => {
  let service: Versitygw;
  let folder: string;
  let bucket: string;
  beforeAll(async () => {
    service = await startVersitygw();
    bucket = await service.createBucket();
    folder = await mkdtemp(join(tmpdir(), "condarium-s3-"));
  });
  afterAll(async () => {
    await service.close();
    await rm(folder, { recursive: true });
  });

  const start = (more: Record<string, string> = {}): Promise<TestApp> =>
    startTestApp({
      folder,
      settings: {
        storage: `s3://${bucket}/registry?endpoint=${encodeURIComponent(service.endpoint)}&path-style=true`,
        "s3-access-key-id": service.accessKey,
        "s3-secret-access-key": service.secretKey,
        ...more,
      },
    });
  /** The objects of the bucket. */
  const objects = async (): Promise<string[]> => {
    const entries = await readdir(join(service.folder, bucket), { recursive: true, withFileTypes: true });
    return entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(service.folder.length + bucket.length + 2))
      .sort();
  };
  async function withServer<T>(work: (server: TestApp) => Promise<T>, more: Record<string, string> = {}): Promise<T> {
    const server = await start(more);
    try {
      return await work(server);
    } finally {
      await server.close();
    }
  }

  const small = buildPackage({ name: "small", version: "1" });
  const large = buildPackage({ name: "large", version: "1", files: { "lib/large.bin": noise(3_000_000) } });
  const pathOf = (one: { fileName: string }): string => `/alice/main/noarch/${one.fileName}`;

  test("stores packages, file lists and shards in the bucket alone, and serves them with ranges", async () => {
    await withServer(async (server) => {
      const alice = await server.addUser("alice");
      for (const one of [small, large]) {
        const answer = await alice.put(`/api/packages/alice/conda/main/${one.fileName}`, one.bytes);
        expect(answer.status).toBe(201);
      }
      for (const one of [small, large, small]) {
        const answer = await alice.get(pathOf(one));
        expect([answer.status, sha256Hex(await bytesOf(answer))]).toEqual([200, one.sha256]);
        expect(answer.headers.get("etag")).toBe(`"${one.sha256}"`);
      }
      const head = await alice.head(pathOf(large));
      expect([head.status, head.headers.get("content-length")]).toEqual([200, String(large.bytes.byteLength)]);
      for (const [first, last] of [
        [10, 20],
        [0, 2_000_000],
        [large.bytes.byteLength - 5, large.bytes.byteLength - 1],
      ]) {
        const answer = await alice.get(pathOf(large), { range: `bytes=${first}-${last}` });
        expect(answer.status).toBe(206);
        expect(answer.headers.get("content-range")).toBe(`bytes ${first}-${last}/${large.bytes.byteLength}`);
        expect(Buffer.compare(await bytesOf(answer), large.bytes.subarray(first, (last ?? 0) + 1))).toBe(0);
      }
      const hashes = Object.values(shardHashes(shardIndexOf(await bytesOf(await alice.get(SHARDS)))));
      expect(hashes).toHaveLength(2);
      for (const hash of hashes) {
        const shard = await alice.get(`/alice/main/noarch/shards/${hash}.msgpack.zst`);
        expect(sha256Hex(await bytesOf(shard))).toBe(hash);
      }
      const names = [small, large].flatMap(({ sha256 }) => ["blobs", "files"].map((kind) => keyOf(kind, sha256)));
      const shards = hashes.map((hash) => `registry/shards/1/${hash}`);
      expect(await objects()).toEqual([...names, ...shards, "registry/store-id"].sort());
      expect((await server.storedFiles()).filter((name) => /^(blobs|files|shards|tmp)\//.test(name))).toEqual([]);
      expect(await problemsOf(server, "deep")).toEqual([]);
    });
  });

  test("has everything after a restart on a node that lost its caches", async () => {
    for (const name of ["cache", "derived", "index.db"]) await rm(join(folder, name), { recursive: true, force: true });
    await withServer(async (server) => {
      for (const one of [small, large])
        expect(sha256Hex(await bytesOf(await server.anonymous.get(pathOf(one))))).toBe(one.sha256);
      const [hash] = Object.values(shardHashes(shardIndexOf(await bytesOf(await server.anonymous.get(SHARDS)))));
      expect((await server.anonymous.get(`/alice/main/noarch/shards/${hash}.msgpack.zst`)).status).toBe(200);
    });
  });

  test("reports a package that was damaged or removed in the bucket, and a new publish mends both", async () => {
    await withServer(async (server) => {
      const place = join(service.folder, bucket, keyOf("blobs", small.sha256));
      await Bun.write(place, new Uint8Array(small.bytes.byteLength));
      expect((await problemsOf(server, "full")).map(({ invariant }) => invariant)).toEqual(["I-3"]);
      await rm(place);
      expect((await problemsOf(server, "full")).map(({ invariant }) => invariant)).toEqual(["I-2"]);
      await rm(join(folder, "cache"), { recursive: true });
      const missing = await server.anonymous.get(pathOf(small));
      expect([missing.status, missing.headers.get("retry-after")]).toEqual([503, "300"]);
      const again = await server.as("alice").put(`/api/packages/alice/conda/copy/${small.fileName}`, small.bytes);
      expect(again.status).toBe(201);
      expect(await problemsOf(server, "full")).toEqual([]);
    });
  });

  test("backs up out of the bucket, and the backup is complete", async () => {
    const target = await mkdtemp(join(tmpdir(), "condarium-s3-backup-"));
    await withServer(async (server) => {
      const problems: unknown[] = [];
      const summary = await server.app.backup({ target, onProblem: (problem) => problems.push(problem) });
      expect([summary.packages, problems]).toEqual([2, []]);
      const copy = await Bun.file(join(target, keyOf("blobs", large.sha256).slice("registry/".length))).bytes();
      expect(sha256Hex(copy)).toBe(large.sha256);
    });
    await rm(target, { recursive: true });
  });

  test("sends a download to the bucket when told so, by a URL without a secret of ours", async () => {
    await withServer(
      async (server) => {
        const token = await server.manage.tokens.create({
          user: "alice",
          name: "reader",
          scopes: [],
          channels: [],
          packages: [],
          lifetime: undefined,
        });
        await server.manage.channels.change({ owner: "alice", channel: "main" }, { visibility: "private" });
        const answer = await server.anonymous.get(`/t/${token}${pathOf(large)}`);
        const location = answer.headers.get("location") ?? "";
        expect([answer.status, answer.headers.get("cache-control"), answer.headers.get("referrer-policy")]).toEqual([
          302,
          "no-store",
          "no-referrer",
        ]);
        expect(location).toStartWith(`${service.endpoint}/${bucket}/registry/blobs/`);
        for (const secret of [token, service.secretKey, "alice"]) expect(location).not.toContain(secret);
        const content = await fetch(location, { headers: { range: "bytes=0-99" } });
        expect([content.status, Buffer.compare(await bytesOf(content), large.bytes.subarray(0, 100))]).toEqual([
          206, 0,
        ]);
        const head = await server.as("alice").head(pathOf(large));
        const looked = await fetch(head.headers.get("location") ?? "", { method: "HEAD" });
        expect([head.status, looked.headers.get("content-length")]).toEqual([302, String(large.bytes.byteLength)]);
        // The gate stands before the redirect, and documents come from the server.
        expect((await server.anonymous.get(pathOf(large))).status).toBe(401);
        expect((await server.as("alice").get(SHARDS)).status).toBe(200);
        const etag = { "if-none-match": `"${large.sha256}"` };
        expect((await server.as("alice").get(pathOf(large), etag)).status).toBe(304);
        await server.manage.channels.change({ owner: "alice", channel: "main" }, { visibility: "public" });
      },
      { "storage-redirect": "yes" },
    );
  });

  test("answers 503 while the bucket is silent or gone, stores nothing of a failed publish, and goes on by itself", async () => {
    await withServer(async (server) => {
      const alice = server.as("alice");
      const fresh = buildPackage({ name: "fresh", version: "1" });
      const publish = (): Promise<Response> =>
        alice.put(`/api/packages/alice/conda/main/${fresh.fileName}`, fresh.bytes);
      await bytesOf(await alice.get(SHARDS));
      for (const [begin, end] of [
        [() => Promise.resolve(service.freeze()), () => Promise.resolve(service.thaw())],
        [service.kill, service.start],
      ] as const) {
        await begin();
        try {
          const startedAt = performance.now();
          const answers = await Promise.all([alice.get(pathOf(large)), publish()]);
          expect(answers.map(({ status }) => status)).toEqual([503, 503]);
          for (const { headers } of answers) expect(Number(headers.get("retry-after"))).toBeWithin(1, 11);
          expect(performance.now() - startedAt).toBeLessThan(15_000);
          // Documents need no bucket.
          expect((await alice.get("/alice/main/noarch/repodata.json")).status).toBe(200);
          // The answer of some seconds ago counts a little longer.
          const remembered = performance.now() + 10_000;
          let ready = await alice.get("/health/ready");
          for (; ready.status === 200 && performance.now() < remembered; ready = await alice.get("/health/ready"))
            await Bun.sleep(200);
          expect([ready.status, await jsonOf(ready)]).toEqual([
            503,
            expect.objectContaining({ problems: [NO_STORAGE] }),
          ]);
        } finally {
          await end();
        }
        const until = performance.now() + 15_000;
        while ((await alice.get(pathOf(large))).status !== 200 && performance.now() < until) await Bun.sleep(200);
        expect(sha256Hex(await bytesOf(await alice.get(pathOf(large))))).toBe(large.sha256);
        expect(await (await alice.get("/alice/main/noarch/repodata.json")).text()).not.toContain("fresh");
        while ((await alice.get("/health/ready")).status !== 200 && performance.now() < until) await Bun.sleep(200);
        expect((await alice.get("/health/ready")).status).toBe(200);
      }
      for (const event of ["trouble", "trouble-ended"])
        expect(server.log().match(new RegExp(`"event":"${event}","kind":"storage"`, "g"))).toHaveLength(2);
      expect((await publish()).status).toBe(201);
      expect((await alice.delete(pathOf(fresh))).status).toBe(204);
    });
  }, 90_000);

  test("does not start with a bucket that is not there, or with a secret that process lists would show", async () => {
    const storage = `s3://no-such-bucket/x?endpoint=${encodeURIComponent(service.endpoint)}&path-style=true`;
    const key = { AWS_ACCESS_KEY_ID: service.accessKey, AWS_SECRET_ACCESS_KEY: service.secretKey };
    const room = await mkdtemp(join(tmpdir(), "condarium-s3-"));
    const args = ["serve", "--data", join(room, "data"), "--listen", "127.0.0.1:0", "--storage", storage];
    const missing = await condarium(args, key);
    expect([missing.code, missing.stderr]).toEqual([
      2,
      `condarium: There is no bucket no-such-bucket at ${service.endpoint}. Create it, or correct the URL of --storage.\n`,
    ]);
    const shown = await condarium([...args, "--s3-secret-access-key", "x"], key);
    expect([shown.code, shown.stderr]).toEqual([2, expect.stringContaining("--s3-secret-access-key")]);
    await rm(room, { recursive: true });
  });

  test("cuts the connection of a download that the bucket cannot end", async () => {
    const child = await serve(
      folder,
      ["--storage", `s3://${bucket}/registry?endpoint=${encodeURIComponent(service.endpoint)}&path-style=true`],
      ["env", `AWS_ACCESS_KEY_ID=${service.accessKey}`, `AWS_SECRET_ACCESS_KEY=${service.secretKey}`],
    );
    const headers = basic("alice", PASSWORD);
    try {
      const huge = buildPackage({ name: "huge", version: "1", files: { "lib/huge.bin": noise(60_000_000) } });
      const path = `${child.url}/api/packages/alice/conda/main/${huge.fileName}`;
      const published = await fetch(path, { method: "PUT", body: huge.bytes.slice(), headers });
      expect(published.status).toBe(201);
      const answer = await fetch(child.url + pathOf(huge));
      const reader = answer.body?.getReader();
      let received = (await reader?.read())?.value?.byteLength ?? 0;
      await service.kill();
      const rest = (async () => {
        for (let step = await reader?.read(); step?.value; step = await reader?.read())
          received += step.value.byteLength;
      })();
      expect(await errorOf(rest)).toBeInstanceOf(Error);
      expect(received).toBeLessThan(huge.bytes.byteLength);
    } finally {
      await service.start();
      await fetch(child.url + `/alice/main/noarch/huge-1-0.conda`, { method: "DELETE", headers });
      expect((await child.end("SIGTERM")).code).toBe(0);
    }
  }, 60_000);

  test("loses no acknowledged package while the collector runs without a grace time", async () => {
    await withServer(async (server) => {
      const alice = server.as("alice");
      const packages = Array.from({ length: 4 }, (_, at) => buildPackage({ name: `busy${at}`, version: "1" }));
      const held = new Set<(typeof packages)[number]>();
      const ending = new AbortController();
      let collected = 0;
      const collecting = (async () => {
        while (!ending.signal.aborted) {
          const { totals } = await server.app.gc({ graceMs: 0 });
          collected += totals.find(({ kind }) => kind === "blob")?.count ?? 0;
          await Bun.sleep(1);
        }
      })();
      await Promise.all(
        packages.map(async (one) => {
          for (let round = 0; round < 25; round += 1) {
            const isHeld = held.has(one);
            const answer = isHeld
              ? await alice.delete(pathOf(one))
              : await alice.put(`/api/packages/alice/conda/main/${one.fileName}`, one.bytes);
            expect(answer.status).toBe(isHeld ? 204 : 201);
            if (isHeld) held.delete(one);
            else held.add(one);
          }
        }),
      );
      ending.abort();
      await collecting;
      expect([held.size, collected > 5]).toEqual([packages.length, true]);
      for (const one of held) {
        const answer = await alice.get(pathOf(one));
        expect([answer.status, sha256Hex(await bytesOf(answer))]).toEqual([200, one.sha256]);
      }
      expect(await problemsOf(server, "full")).toEqual([]);
      for (const one of held) await alice.delete(pathOf(one));
      await server.app.gc({ graceMs: 0 });
    });
  }, 60_000);

  test("deletes what nothing refers to from the bucket, and only that", async () => {
    await withServer(async (server) => {
      await bytesOf(await server.anonymous.get(pathOf(large)));
      const before = await objects();
      expect((await server.as("alice").delete(pathOf(large))).status).toBe(204);
      const dry = await server.app.gc({ graceMs: 0, dryRun: true });
      expect(await objects()).toEqual(before);
      const { totals } = await server.app.gc({ graceMs: 0 });
      const counts = Object.fromEntries(totals.map(({ kind, count }) => [kind, count]));
      expect(counts).toMatchObject({ blob: 1, "file-list": 1 });
      expect(dry.totals.find(({ kind }) => kind === "blob")?.count).toBe(1);
      const left = await objects();
      expect(left).toContain(keyOf("blobs", small.sha256));
      expect(left.filter((name) => name.includes(large.sha256))).toEqual([]);
      expect((await server.as("alice").delete(pathOf(small))).status).toBe(204);
      await server.manage.channels.remove({ owner: "alice", channel: "main" });
      await server.app.gc({ graceMs: 0 });
      expect((await objects()).filter((name) => name.startsWith("registry/shards/1/"))).toEqual([]);
      expect(await problemsOf(server, "deep")).toEqual([]);
    });
  });
});

function keyOf(kind: string, sha256: string): string {
  return `registry/${kind}/${sha256.slice(0, 2)}/${sha256.slice(2, 4)}/${sha256}`;
}
