// A file of the wrong length is never sent as the original.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { appendFileSync, mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bytesOf } from "../support/answers.ts";
import { shardIndexOf } from "../support/documents.ts";
import { listen, type Listening } from "../support/listening.ts";
import { buildPackage, type BuiltPackage } from "../support/package-builder.ts";
import { blobKey, shardKey } from "../../src/modules/storage/keys.ts";
import { contentFile } from "../support/engines.ts";

const MIB = 1024 ** 2;
const SUBDIR = "/alice/main/noarch";
const SIZES = { small: 1000, medium: 500_000, large: 3 * MIB } as const;

let folder: string;
let server: Listening;
const built = new Map<string, BuiltPackage>();
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-damaged-"));
  server = await listen({ folder });
  await server.addUser("alice");
  for (const [name, size] of Object.entries(SIZES)) {
    const one = buildPackage({ name, version: "1", files: { noise: randomBytes(size) } });
    built.set(name, one);
    expect((await server.publish("alice", "/api/packages/alice/conda/main", one)).status).toBe(201);
  }
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

function packageOf(name: string): BuiltPackage & { readonly blob: string } {
  const one = built.get(name);
  if (!one) throw new Error(`there is no package ${name}`);
  const { sha256 } = one;
  return { ...one, blob: contentFile(folder, blobKey(sha256)) };
}

const DAMAGES: readonly [string, (blob: string, size: number) => void, number][] = [
  ["shorter", (blob, size) => truncateSync(blob, size - 1), 500],
  ["empty", (blob) => truncateSync(blob, 0), 500],
  ["longer", (blob) => appendFileSync(blob, "x"), 500],
  ["missing", (blob) => rmSync(blob), 503],
  [
    "a folder",
    (blob) => {
      rmSync(blob);
      mkdirSync(blob);
    },
    503,
  ],
];

test.each(Object.keys(SIZES).flatMap((name) => DAMAGES.map((damage) => [name, ...damage] as const)))(
  "a %s package whose blob is %s is not sent, in full or in part, and the log names it",
  async (name, _, damage, status) => {
    const { blob, bytes, fileName, sha256 } = packageOf(name);
    damage(blob, bytes.length);
    try {
      for (const [at, ask] of [{}, { method: "HEAD" }, { headers: { range: "bytes=0-9" } }].entries()) {
        // First request, so that no stored response is replayed.
        const answer = await fetch(`${server.url}${SUBDIR}/${fileName}`, {
          ...ask,
          headers: { ...ask.headers, at: `${at}` },
        });
        expect([at, answer.status]).toEqual([at, status]);
        const text = await answer.text();
        expect(text).not.toContain(sha256);
        if (ask.method === undefined) expect(answer.headers.get("content-type")).toBe("application/problem+json");
        expect(answer.headers.get("etag")).toBeNull();
      }
      expect(server.log()).toContain(`the blob ${sha256}`);
    } finally {
      rmSync(blob, { recursive: true, force: true });
      writeFileSync(blob, bytes);
    }
    const whole = await fetch(`${server.url}${SUBDIR}/${fileName}`);
    expect(Buffer.compare(await bytesOf(whole), bytes)).toBe(0);
  },
);

test("a shard file that became shorter is rebuilt", async () => {
  const index = await bytesOf(await fetch(`${server.url}${SUBDIR}/repodata_shards.msgpack.zst`));
  const [hash = ""] = Object.values(shardIndexOf(index).shards).map((each) => Buffer.from(each).toString("hex"));
  const get = (who: string, headers = {}): Promise<Response> =>
    fetch(`${server.url}${SUBDIR}/shards/${hash}.msgpack.zst`, { headers: { who, ...headers } });
  const whole = await bytesOf(await get("first"));
  const cut = (): void => truncateSync(contentFile(folder, shardKey(1, hash)), 10);
  cut();
  const end = await get("end", { range: "bytes=-5" });
  expect(end.headers.get("content-range")).toBe(`bytes ${whole.length - 5}-${whole.length - 1}/${whole.length}`);
  expect(await bytesOf(end)).toEqual(whole.subarray(-5));
  cut();
  const again = await get("second");
  expect([again.status, again.headers.get("content-length")]).toEqual([200, String(whole.length)]);
  expect(await bytesOf(again)).toEqual(whole);
});

test("a truncated document file is rebuilt, also after a restart", async () => {
  // More than 64 KiB of text, which is stored in a file.
  for (let version = 2; version < 100; version += 1) {
    const one = buildPackage({ name: "many", version: `${version}`, license: "text ".repeat(200) });
    expect((await server.publish("alice", "/api/packages/alice/conda/main", one)).status).toBe(201);
  }
  const path = `${SUBDIR}/repodata.json`;
  const get = async (at: Listening, who: string): Promise<Buffer> =>
    bytesOf(await fetch(`${at.url}${path}`, { headers: { who, "accept-encoding": "identity" } }));
  const whole = await get(server, "first");
  const derived = join(folder, "derived/1/noarch/main.repodata.json");
  const cut = (): void => {
    for (const file of readdirSync(derived)) truncateSync(join(derived, file), 70_000);
  };
  cut();
  expect((await get(server, "second")).equals(whole)).toBe(true);
  cut();
  await server.stop();
  server = await listen({ folder });
  expect((await get(server, "third")).equals(whole)).toBe(true);
});
