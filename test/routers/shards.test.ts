import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decode } from "@msgpack/msgpack";
import { decompress } from "fzstd";
import { bytesOf } from "../support/answers.ts";
import { startTestApp, type Actor, type TestApp } from "../support/app.ts";
import { filesIn, shardHashes, shardIndexOf, shardOf, type Shard } from "../support/documents.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage, type PackageDescription } from "../support/package-builder.ts";
import { contentFile } from "../support/engines.ts";

const INDEX = "repodata_shards.msgpack.zst";
const TIMESTAMP = 1_700_000_000_123;

let server: TestApp;
let alice: Actor;

beforeAll(async () => {
  server = await startTestApp();
  alice = await server.addUser("alice");
  await publish(
    "main",
    {
      name: "exporting",
      version: "1",
      timestamp: TIMESTAMP,
      info: { "run_exports.json": { weak: ["exporting >=1"] } },
    },
    { name: "exporting", version: "1", timestamp: TIMESTAMP, format: "tar.bz2" },
    { name: "plain", version: "2", build_number: 3, build: "h_3", depends: ["exporting >=1"] },
  );
});
afterAll(() => server.close());

async function publish(channel: string, ...packages: readonly PackageDescription[]): Promise<void> {
  await publishAt(server, channel, ...packages);
}

async function publishAt(at: TestApp, channel: string, ...packages: readonly PackageDescription[]): Promise<void> {
  for (const one of packages) {
    const { fileName, bytes } = buildPackage(one);
    const answer = await at.as("alice").put(`/api/packages/alice/conda/${channel}/${fileName}`, bytes);
    expect(answer.status).toBe(201);
  }
}

/** The address of every name's shard, as in the current index. */
async function shardsOf(at: TestApp, channel: string): Promise<Record<string, string>> {
  const answer = await at.as("alice").get(`/alice/${channel}/noarch/${INDEX}`);
  expect(answer.status).toBe(200);
  const hashes = shardHashes(shardIndexOf(await bytesOf(answer)));
  const paths = Object.entries(hashes).map(([name, hash]) => [
    name,
    `/alice/${channel}/noarch/shards/${hash}.msgpack.zst`,
  ]);
  return Object.fromEntries(paths) as Record<string, string>;
}

/** A shard, whose bytes have to match its name. */
async function read(at: TestApp, path: string | undefined): Promise<Shard> {
  const answer = await at.as("alice").get(path ?? "/no-address");
  expect([path, answer.status]).toEqual([path, 200]);
  const bytes = await bytesOf(answer);
  expect(path).toContain(`/${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}.msgpack.zst`);
  return shardOf(bytes);
}

describe("the shard index", () => {
  test("lists each package with its shard's hash, and base URLs that hold wherever the channel is mounted", async () => {
    const index = shardIndexOf(await bytesOf(await server.anonymous.get(`/alice/main/noarch/${INDEX}`)));
    expect(index).toEqual({
      version: 1,
      info: { base_url: "", shards_base_url: "./shards/", subdir: "noarch" },
      shards: { exporting: expect.any(Uint8Array), plain: expect.any(Uint8Array) },
    });
    for (const hash of Object.values(index.shards)) expect(hash).toHaveLength(32);
  });

  test("keeps the hashes of names that did not change", async () => {
    await publish("steady", { name: "a", version: "1" }, { name: "b", version: "1" });
    const before = await shardsOf(server, "steady");
    await publish("steady", { name: "b", version: "2" });
    const after = await shardsOf(server, "steady");
    expect(after.a).toBe(before.a ?? "");
    expect(after.b).not.toBe(before.b ?? "");
    expect((await alice.delete("/alice/steady/noarch/b-2-0.conda")).status).toBe(204);
    expect(await shardsOf(server, "steady")).toEqual(before);
    expect((await alice.delete("/alice/steady/noarch/b-1-0.conda")).status).toBe(204);
    expect(await shardsOf(server, "steady")).toEqual({ a: before.a ?? "" });
  });
});

describe("a shard", () => {
  test("has both maps, its records with hashes as bytes and always with run exports", async () => {
    const { exporting, plain } = await shardsOf(server, "main");
    const conda = buildPackage({
      name: "plain",
      version: "2",
      build_number: 3,
      build: "h_3",
      depends: ["exporting >=1"],
    });
    expect(await read(server, plain)).toEqual({
      packages: {},
      "packages.conda": {
        "plain-2-h_3.conda": {
          name: "plain",
          version: "2",
          build: "h_3",
          build_number: 3,
          subdir: "noarch",
          depends: ["exporting >=1"],
          run_exports: {},
          size: conda.bytes.length,
          sha256: new Uint8Array(Buffer.from(conda.sha256, "hex")),
          md5: new Uint8Array(new Bun.CryptoHasher("md5").update(conda.bytes).digest()),
          indexed_timestamp: expect.any(Number),
        },
      },
      removed: [],
    });
    const both = await read(server, exporting);
    expect(filesIn(both)).toEqual(["exporting-1-0.conda", "exporting-1-0.tar.bz2"]);
    expect(both["packages.conda"]["exporting-1-0.conda"]).toMatchObject({ run_exports: { weak: ["exporting >=1"] } });
    expect(both.packages["exporting-1-0.tar.bz2"]).toMatchObject({ run_exports: {}, timestamp: TIMESTAMP });
  });

  test("has integers where clients require integers, and times as unsigned 64-bit integers", async () => {
    const { exporting } = await shardsOf(server, "main");
    const packed = decompress(await bytesOf(await server.anonymous.get(exporting ?? "")));
    const text = Buffer.from(packed).toString("latin1");
    expect(text.split("timestamp\xcf")).toHaveLength(5);
    expect(text).not.toMatch(/(timestamp|size|build_number)[\xca\xcb]/);
    const exact = decode(packed, { useBigInt64: true }) as Shard;
    expect(exact["packages.conda"]["exporting-1-0.conda"]).toMatchObject({
      timestamp: BigInt(TIMESTAMP),
      indexed_timestamp: expect.any(BigInt),
      build_number: 0,
    });
  });

  test("is cached permanently by clients, and its hash is its tag", async () => {
    const { plain = "" } = await shardsOf(server, "main");
    const answer = await server.anonymous.get(plain);
    const etag = `"${/([0-9a-f]{64})/.exec(plain)?.[1]}"`;
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      "content-type": "application/zstd",
      "cache-control": "public, max-age=31536000, immutable",
      "access-control-allow-origin": "*",
      etag,
    });
    expect(answer.headers.get("vary")).toBeNull();
    const whole = await bytesOf(answer);
    const head = await server.anonymous.head(plain);
    expect([head.status, head.headers.get("content-length")]).toEqual([200, String(whole.length)]);
    const same = await server.anonymous.get(plain, { "if-none-match": etag });
    expect([same.status, same.headers.get("etag")]).toEqual([304, etag]);
    expect(same.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    const part = await server.anonymous.get(plain, { range: "bytes=4-7" });
    expect([part.status, await bytesOf(part)]).toEqual([206, whole.subarray(4, 8)]);
  });

  test("stays readable under its hash after it was replaced, and after its name was deleted", async () => {
    await publish("moving", { name: "moved", version: "1" });
    const first = (await shardsOf(server, "moving")).moved;
    await publish("moving", { name: "moved", version: "2" });
    const second = (await shardsOf(server, "moving")).moved;
    for (const version of ["1", "2"]) await alice.delete(`/alice/moving/noarch/moved-${version}-0.conda`);
    expect(await shardsOf(server, "moving")).toEqual({});
    expect(filesIn(await read(server, first))).toEqual(["moved-1-0.conda"]);
    expect(filesIn(await read(server, second))).toEqual(["moved-1-0.conda", "moved-2-0.conda"]);
  });

  test("of another channel is 404, and so is a malformed hash", async () => {
    await publish("elsewhere", { name: "elsewhere", version: "1" });
    const { elsewhere = "" } = await shardsOf(server, "elsewhere");
    const hash = /([0-9a-f]{64})/.exec(elsewhere)?.[1] ?? "";
    const base = "/alice/main/noarch/shards";
    for (const name of [hash, hash.toUpperCase(), hash.slice(1), `${hash}0`, "0".repeat(64), "..%2f..%2fcondarium"]) {
      for (const answer of [
        await server.anonymous.get(`${base}/${name}.msgpack.zst`),
        await server.anonymous.head(`${base}/${name}.msgpack.zst`),
      ]) {
        expect([name, answer.status, answer.headers.get("cache-control")]).toEqual([name, 404, "no-store"]);
      }
    }
    expect((await server.anonymous.get(elsewhere)).status).toBe(200);
  });
});

test("requests for hundreds of shards that never existed delay no document", async () => {
  const unknown = Array.from({ length: 500 }, async (_, at) => {
    const hash = new Bun.CryptoHasher("sha256").update(`${at}`).digest("hex");
    const answer = await server.anonymous.get(`/alice/main/noarch/shards/${hash}.msgpack.zst`);
    return `${answer.status} ${answer.headers.get("retry-after")}`;
  });
  await publish("meanwhile", { name: "a", version: "1" });
  expect(Object.keys(await shardsOf(server, "meanwhile"))).toEqual(["a"]);
  // A query of the index shows that nothing names them, which takes no turn of the building thread.
  expect([...new Set(await Promise.all(unknown))]).toEqual(["404 null"]);
  expect(server.log()).not.toContain("internal-error");
});

describe("a shard file", () => {
  const FLIPPED = async (path: string): Promise<void> => {
    const bytes = await Bun.file(path).bytes();
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    await Bun.write(path, bytes);
  };

  /** Damages the shard files of a stopped server, and starts it again. */
  async function afterSpoiling(
    spoil: (path: string) => Promise<void>,
    check: (again: TestApp, before: Record<string, string>, replaced: string) => Promise<void>,
  ): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), "condarium-shards-"));
    try {
      const first = await startTestApp({ folder });
      await first.addUser("alice");
      await publishAt(first, "main", { name: "a", version: "1" }, { name: "b", version: "1" });
      const replaced = (await shardsOf(first, "main")).a ?? "";
      await publishAt(first, "main", { name: "a", version: "2" });
      const before = await shardsOf(first, "main");
      const files = (await first.storedFiles()).filter((name) => name.startsWith("shards/"));
      expect(files).toHaveLength(3);
      await first.close();
      for (const name of files) await spoil(contentFile(folder, name));
      const again = await startTestApp({ folder });
      try {
        await check(again, before, replaced);
      } finally {
        await again.close();
      }
    } finally {
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    }
  }

  test.each([
    ["damaged", FLIPPED],
    ["truncated", (path: string) => Bun.write(path, "").then(() => undefined)],
    ["deleted", (path: string) => rm(path)],
  ])("that was %s is rebuilt when requested, as long as the index names it", async (_, spoil) => {
    await afterSpoiling(spoil, async (again, before, replaced) => {
      // An older index of a client names it too.
      expect(filesIn(await read(again, before.a))).toEqual(["a-1-0.conda", "a-2-0.conda"]);
      expect((await again.anonymous.head(before.b ?? "")).status).toBe(200);
      expect(await shardsOf(again, "main")).toEqual(before);
      expect(filesIn(await read(again, before.b))).toEqual(["b-1-0.conda"]);
      // Its old contents are lost.
      expect((await again.anonymous.get(replaced)).status).toBe(404);
      await publishAt(again, "main", { name: "b", version: "2" });
      expect(filesIn(await read(again, (await shardsOf(again, "main")).b))).toEqual(["b-1-0.conda", "b-2-0.conda"]);
    });
  });

  test("that was damaged is reported to the administrator, and is not cached", async () => {
    await afterSpoiling(FLIPPED, async (again, _, replaced) => {
      for (let times = 0; times < 2; times++) expect((await again.anonymous.get(replaced)).status).toBe(404);
      expect(
        again
          .log()
          .split("\n")
          .filter((line) => line.includes("is damaged")),
      ).toHaveLength(1);
      const name = /([0-9a-f]{64})/.exec(replaced)?.[1] ?? "";
      expect((await again.storedFiles()).filter((path) => path.endsWith(name))).toEqual([]);
    });
  });
});

describe("the shard policy of a channel", () => {
  const MAMBAS = ["mamba/2.8.1 libcurl/8.10.1", "mamba/2.6.0", "mamba/2.7.99 zlib/1.3"];
  const OTHERS = [
    "mamba/2.5.0",
    "mamba/2.9.0",
    "mamba/3.0",
    "mamba/2.61.0",
    "conda/26.7.1 requests/2.32",
    "py-rattler/0.28.0",
    "",
  ];

  /** Status by user agent, which must be the same for GET and HEAD, and for the forms of the address. */
  async function statuses(path: string, actor: Actor = server.anonymous): Promise<Record<string, number>> {
    const seen: Record<string, number> = {};
    for (const agent of [...MAMBAS, ...OTHERS]) {
      const headers = { "user-agent": agent };
      const answers = [await actor.get(path, headers), await actor.head(path, headers)];
      for (const { headers: all } of answers) expect([agent, all.get("vary")]).toEqual([agent, "User-Agent"]);
      expect(answers[1]?.status).toBe(answers[0]?.status ?? 0);
      seen[agent] = answers[0]?.status ?? 0;
    }
    return seen;
  }
  const all = (mambas: number, others: number): Record<string, number> =>
    Object.fromEntries([...MAMBAS.map((agent) => [agent, mambas]), ...OTHERS.map((agent) => [agent, others])]);

  test("offers shards by default to all but the mambas that would miss new packages, unless the address has a token", async () => {
    const token = await tokenOf("fresh");
    for (const form of ["/alice/main", "/api/packages/alice/conda/main", "/get/alice/main"]) {
      expect(await statuses(`${form}/noarch/${INDEX}`)).toEqual(all(404, 200));
      expect(await statuses(`${form}/linux-64/${INDEX}`)).toEqual(all(404, 200));
      expect(await statuses(`/t/${token}${form}/noarch/${INDEX}`)).toEqual(all(200, 200));
    }
    expect(await statuses(`/alice/main/noarch/${INDEX}`, server.withToken(token))).toEqual(all(404, 200));
    const refused = await server.anonymous.get(`/alice/main/noarch/${INDEX}`, { "user-agent": "mamba/2.8.1" });
    expect(refused.headers.get("cache-control")).toBe("no-store");
    expect(await refused.text()).toContain("repodata.json.zst");
  });

  test("can offer shards to all clients, or to none", async () => {
    const token = await tokenOf("switched");
    await publish("switched", { name: "a", version: "1" });
    const { a = "" } = await shardsOf(server, "switched");
    const policies = { on: all(200, 200), off: all(404, 404), fresh: all(404, 200) };
    for (const [shards, expected] of Object.entries(policies)) {
      await server.manage.channels.change({ owner: "alice", channel: "switched" }, { policy: { shards } });
      expect(await statuses(`/alice/switched/noarch/${INDEX}`)).toEqual(expected);
      const withToken = shards === "off" ? all(404, 404) : all(200, 200);
      expect(await statuses(`/t/${token}/alice/switched/noarch/${INDEX}`)).toEqual(withToken);
      // A client with an older index can still read its shards.
      expect(filesIn(await read(server, a))).toEqual(["a-1-0.conda"]);
    }
  });

  test("reveals nothing to users who cannot read the channel", async () => {
    await server.manage.channels.create({ owner: "alice", channel: "hidden" }, { visibility: "private" });
    for (const agent of [...MAMBAS, ...OTHERS]) {
      for (const channel of ["hidden", "no-such-channel"]) {
        const path = `/alice/${channel}/noarch/${INDEX}`;
        expect((await server.anonymous.get(path, { "user-agent": agent })).status).toBe(401);
      }
    }
  });

  const tokenOf = (name: string): Promise<string> => newToken(server.manage, { user: "alice", name });
});
