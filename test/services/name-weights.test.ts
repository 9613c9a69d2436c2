import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode } from "@msgpack/msgpack";
import { openDatabase } from "../../src/models/open-database.ts";
import { systemClock } from "../../src/modules/clock.ts";
import { COMMAND_LINE } from "../../src/services/actor.ts";
import { findChannelRef } from "../../src/services/channel-ref.ts";
import { createPackages } from "../../src/services/packages.ts";
import { bytesOf, jsonOf } from "../support/answers.ts";
import { startTestApp, type Actor, type TestApp } from "../support/app.ts";
import type { ShardIndex } from "../support/documents.ts";
import { buildPackage, type BuiltPackage } from "../support/package-builder.ts";
import { worstFile } from "../support/worst-channels.ts";
import { newSource } from "../support/rows.ts";

const LIMIT = 32 * 1024 ** 2;

let folder: string;
let server: TestApp;
let alice: Actor;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-weights-"));
  server = await startTestApp({ folder });
  alice = await server.addUser("alice");
});
afterEach(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

/** A package whose entry takes some 250 kB, most of them numbers: those are longer in a shard than in JSON. */
function heavy(name: string, version: number, numbers = 27_000): BuiltPackage {
  const of = Array.from({ length: numbers }, () => 0.5);
  return buildPackage({ name, version: String(version), numbers: of, files: {} });
}

const put = (built: BuiltPackage, query = ""): Promise<Response> =>
  alice.put(`/alice/main/noarch/${built.fileName}${query}`, built.bytes);

/** Bytes of the shard of a name, before compression. */
async function shardSize(name: string): Promise<number> {
  const index = await bytesOf(await server.anonymous.get("/alice/main/noarch/repodata_shards.msgpack.zst"));
  const { shards } = decode(Bun.zstdDecompressSync(index)) as ShardIndex;
  const hash = Buffer.from(shards[name] ?? []).toString("hex");
  const shard = await bytesOf(await server.anonymous.get(`/alice/main/noarch/shards/${hash}.msgpack.zst`));
  return Bun.zstdDecompressSync(shard).byteLength;
}

describe("the shard of one name", () => {
  test("never grows past its limit under concurrent publishes, and other names are accepted", async () => {
    const files = Array.from({ length: 150 }, (_, at) => heavy("heavy", at));
    const answers: Response[] = [];
    for (let at = 0; at < files.length; at += 15)
      answers.push(...(await Promise.all(files.slice(at, at + 15).map((file) => put(file)))));
    const taken = answers.filter(({ status }) => status === 201).length;
    const refused = answers.filter(({ status }) => status === 422);
    expect(taken + refused.length).toBe(files.length);
    expect(refused.length).toBeGreaterThan(5);
    const problem: { detail: string; limit: number } = await jsonOf(refused[0] as Response);
    expect(problem.limit).toBe(LIMIT);
    expect(problem.detail).toContain(`The records of heavy in noarch`);
    expect(problem.detail).toContain(String(LIMIT));
    const size = await shardSize("heavy");
    expect(size).toBeLessThanOrEqual(LIMIT);
    expect(size).toBeGreaterThan(LIMIT * 0.98);
    expect((await put(heavy("other", 1))).status).toBe(201);
    expect((await put(heavy("heavy", 1000), "?dry_run=true")).status).toBe(422);
    expect((await put(heavy("heavy", 1001, 1))).status).toBe(201);
  }, 60_000);

  test("has room again when files are deleted, also after a restart", async () => {
    let version = 0;
    for (; version < 200; version++) if ((await put(heavy("full", version))).status !== 201) break;
    expect(version).toBeGreaterThan(100);
    for (const at of [0, 1]) expect((await alice.delete(`/alice/main/noarch/full-${at}-0.conda`)).status).toBe(204);
    expect((await put(heavy("full", 300))).status).toBe(201);
    await server.close();
    server = await startTestApp({ folder });
    alice = server.as("alice");
    expect((await put(heavy("full", 301))).status).toBe(201);
    expect((await put(heavy("full", 302))).status).toBe(422);
  }, 60_000);

  test("counts a yanked file, so that a restored file never exceeds the limit", async () => {
    expect((await put(heavy("other", 1, 1))).status).toBe(201);
    const database = await openDatabase(await newSource(folder), { clock: systemClock, create: false });
    const packages = createPackages({ clock: systemClock });
    const change = (work: (...args: Parameters<typeof packages.addFile>) => Promise<unknown>, version: number) =>
      database.transact(async (tx) => {
        const { owner, channel } = (await findChannelRef(tx, "alice", "main")) ?? {};
        if (!owner || !channel) throw new Error("there is no channel alice/main");
        const file = worstFile({ names: 1, files: 1, record: 100, runExports: 0 }, "held", version);
        await work(tx, { owner, channel }, { ...file, weight: LIMIT * 0.75 }, COMMAND_LINE);
      });
    await change(packages.addFile, 1);
    await change(
      (tx, to, { section, fileName }, actor) =>
        packages.setState(tx, { ...to, section, fileName }, "yanked", actor, "a test"),
      1,
    );
    const refusal: unknown = await change(packages.addFile, 2).catch((error: unknown) => error);
    expect(String(refusal)).toContain("The records of held in noarch");
    await database.close();
  });
});
