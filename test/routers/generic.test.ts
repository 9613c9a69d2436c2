// The generic type, as Gitea's clients use it: what a second package type gets from the rest of the server unchanged.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { blobKey } from "../../src/modules/storage/keys.ts";
import { errorOf } from "../modules/error-of.ts";
import { addMatrixActors, MATRIX, matrixTitle, ROLES, VISIBILITIES } from "../support/access-matrix.ts";
import { bytesOf, jsonOf } from "../support/answers.ts";
import { caseName } from "../support/case-name.ts";
import { startTestApp, type Actor, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { problemsOf } from "../support/problems.ts";
import { openTables, type Tables } from "../support/rows.ts";
import { runHere } from "../support/run-here.ts";

let server: TestApp;
let tables: Tables;
let actors: Record<string, Actor> = {};
const OWNERS = VISIBILITIES.map((visibility) => `o-${visibility}`);

const address = (owner: string, ...rest: string[]): string =>
  [`/api/packages/${owner}/generic`, ...rest.map(encodeURIComponent)].join("/");
const text = (content: string): Uint8Array => new TextEncoder().encode(content);
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

beforeAll(async () => {
  server = await startTestApp({ settings: { "max-upload-size": "1MiB" } });
  tables = openTables(server.folder);
  actors = await addMatrixActors(server, [...OWNERS, "alice"]);
  for (const visibility of VISIBILITIES) {
    const owner = `o-${visibility}`;
    expect((await server.as(owner).put(address(owner, "seed", "1", "seed.bin"), text("seed"))).status).toBe(201);
    const channel = { type: "generic", owner, channel: "" };
    await server.manage.channels.change(channel, { visibility });
    for (const role of ROLES) await server.manage.grants.set(channel, role, role);
  }
});
afterAll(async () => {
  tables.close();
  await server.close();
});

describe("rights on generic files", () => {
  for (const one of MATRIX) {
    const { name, visibility, rights, refusal } = one;
    test(`give ${matrixTitle(one)}`, async () => {
      const owner = `o-${visibility}`;
      const actor = actors[name === "owner" ? owner : name] ?? server.anonymous;
      const seed = address(owner, "seed", "1", "seed.bin");
      const read = rights.includes("r") ? 200 : refusal;
      expect([(await actor.get(seed)).status, (await actor.head(seed)).status]).toEqual([read, read]);
      const mine = [name, `1.0-${visibility}`] as const;
      for (const file of ["a.bin", "b.bin"]) {
        const { status } = await actor.put(address(owner, ...mine, file), text(`${name} ${file}`));
        expect(status).toBe(rights.includes("p") ? 201 : refusal);
      }
      const taken = await actor.put(address(owner, ...mine, "a.bin"), text("other"));
      expect(taken.status).toBe(rights.includes("p") ? 409 : refusal);
      for (const path of [address(owner, ...mine, "a.bin"), address(owner, ...mine)]) {
        expect((await actor.delete(path)).status).toBe(rights.includes("d") ? 204 : refusal);
      }
      const left = (await server.as(owner).get(address(owner, ...mine, "b.bin"))).status;
      expect(left).toBe(rights.includes("p") && !rights.includes("d") ? 200 : 404);
    });
  }

  test("give a stranger the same response for a private channel, a missing channel and a missing owner", async () => {
    const paths = ["o-private", "nobody"].flatMap((owner) => [
      address(owner, "seed", "1", "seed.bin"),
      address(owner, "x", "1", "y"),
    ]);
    for (const actor of [server.anonymous, server.as("stranger")]) {
      const answers = await Promise.all(paths.map(async (path) => (await actor.get(path)).text()));
      expect(new Set(answers).size).toBe(1);
    }
  });

  test("on an owner's generic channel are separate from those on the conda channels", async () => {
    await server.manage.grants.set({ owner: "alice", channel: "" }, "publisher", "publisher");
    expect((await server.as("publisher").put(address("alice", "tool", "1", "x"), text("x"))).status).toBe(403);
    const built = buildPackage({ name: "only-conda", version: "1" });
    expect((await server.as("publisher").put(`/api/packages/alice/conda/${built.fileName}`, built.bytes)).status).toBe(
      201,
    );
    await server.manage.grants.revoke({ owner: "alice", channel: "" }, "publisher");
  });

  test("of a token cover only the channels and packages it is bound to", async () => {
    const token = async (name: string, bounds: { channels?: string[]; packages?: string[] }) =>
      server.withToken(
        await newToken(server.manage, {
          user: "alice",
          name,
          scopes: ["write:package", "delete:package"],
          ...bounds,
        }),
      );
    const conda = await token("conda", { channels: ["alice/*"] });
    const generic = await token("generic", { channels: ["generic:alice/-"] });
    const tool = await token("tool", { packages: ["tool"] });
    expect((await conda.put(address("alice", "tool", "1", "c"), text("c"))).status).toBe(403);
    expect((await generic.put(address("alice", "tool", "1", "g"), text("g"))).status).toBe(201);
    expect((await generic.put(`/api/packages/alice/conda/x-1-0.conda`, text("g"))).status).toBe(403);
    expect((await tool.put(address("alice", "Tool", "1", "t"), text("t"))).status).toBe(201);
    expect((await tool.put(address("alice", "other", "1", "t"), text("t"))).status).toBe(403);
    expect((await server.as("alice").put(address("alice", "other", "1", "t"), text("t"))).status).toBe(201);
    expect((await tool.delete(address("alice", "other", "1"))).status).toBe(403);
    expect((await tool.delete(address("alice", "tool", "1"))).status).toBe(204);
  });
});

describe("names of generic files", () => {
  const TAKEN = [
    ["Tool_+.-9", "1.0", "a file=:;.()[]{}~!@#$%^&.tar.gz"],
    ["a", "latest build", "x"],
    ["...", "1", "..x"],
    ["plain", "é ü", "x"],
    ["n".repeat(255), "v".repeat(255), "f".repeat(255)],
  ] as const;
  test.each(TAKEN.map((names) => [names.map(caseName).join(" "), ...names] as const))(
    "are accepted and returned unchanged: %s",
    async (_, name, version, file) => {
      const path = address("alice", name, version, file);
      const bytes = text(path);
      const put = await server.as("alice").put(path, bytes);
      expect(put.status).toBe(201);
      expect(put.headers.get("location")).toBe(`https://conda.example${path.replaceAll("%2B", "+")}`);
      expect(await jsonOf<object>(put)).toMatchObject({
        name,
        version,
        filename: file,
        sha256: sha256(bytes),
        size: bytes.length,
      });
      const got = await server.anonymous.get(path);
      expect([got.status, Buffer.compare(await bytesOf(got), bytes)]).toEqual([200, 0]);
      expect(got.headers.get("content-disposition")).toBe(`attachment; filename="${file}"`);
      expect(got.headers.get("content-type")).toBe("application/octet-stream");
      expect(got.headers.get("x-content-type-options")).toBe("nosniff");
    },
  );

  const REFUSED = [
    ["a b", "1", "x"],
    ["_", "1", "x"],
    ["é", "1", "x"],
    ["a*", "1", "x"],
    ["a", " 1", "x"],
    ["a", "1 ", "x"],
    ["a", "1", " x"],
    ["a", "1", "x "],
    ["a", "1", 'x"y'],
    ["a", "1", "x,y"],
    ["a", "1", "é"],
    ["n".repeat(256), "1", "x"],
    ["a", "v".repeat(256), "x"],
    ["a", "1", "f".repeat(256)],
  ] as const;
  test.each(REFUSED.map((names) => [names.map(caseName).join(" "), ...names] as const))(
    "are refused with 400 and nothing is stored: %s",
    async (_, name, version, file) => {
      const path = address("alice", name, version, file);
      const before = tables.dump();
      expect((await server.as("alice").put(path, text("x"))).status).toBe(400);
      expect(tables.dump()).toBe(before);
      expect((await server.as("alice").get(path)).status).toBe(404);
      expect((await server.as("alice").delete(path)).status).toBe(404);
    },
  );

  test("cannot reach another path segment", async () => {
    for (const name of ["%2e%2e", "a%2fb", "a%5cb", "a%00", "%ff"]) {
      expect((await server.as("alice").put(`/api/packages/alice/generic/${name}/1/x`, text("x"))).status).toBe(404);
      expect((await server.as("alice").put(`/api/packages/alice/generic/a/1/${name}`, text("x"))).status).toBe(404);
    }
  });

  test("are equal in either case", async () => {
    const [path, other] = [address("alice", "Case", "1.0-RC", "Readme"), address("alice", "case", "1.0-rc", "README")];
    expect((await server.as("alice").put(path, text("one"))).status).toBe(201);
    expect((await server.as("alice").put(other, text("two"))).status).toBe(409);
    expect((await server.as("alice").get(address("alice", "CASE", "1.0-rc", "Readme"))).status).toBe(200);
  });
});

describe("generic files", () => {
  test("uploaded twenty times at once under one name give one 201 and nineteen 409", async () => {
    const path = address("alice", "race", "1", "x.bin");
    const statuses = await twentyUploads(path);
    expect(statuses.filter((status) => status === 201)).toHaveLength(1);
    expect(statuses.filter((status) => status === 409)).toHaveLength(19);
    const rows = tables.all("SELECT 1 FROM package_file WHERE section = 'race/1'");
    expect(rows).toHaveLength(1);
    const stored = await server.storedFiles();
    const kept = Array.from({ length: 20 }, (_, at) => blobKey(sha256(text(`upload ${at}`)))).filter((key) =>
      stored.includes(key),
    );
    expect(kept).toHaveLength(1);
  });

  /** Each waits for a slot, because the uploads of an account are limited. */
  async function twentyUploads(path: string): Promise<number[]> {
    const uploads = Array.from({ length: 20 }, async (_, at) => {
      for (let tries = 0; tries < 200; tries++) {
        const { status } = await server.as("alice").put(path, text(`upload ${at}`));
        if (status !== 429) return status;
        await Bun.sleep(10);
      }
      return 429;
    });
    return await Promise.all(uploads);
  }

  test("have ranges, validators and the caching of packages", async () => {
    const path = address("alice", "ranged", "1", "x.bin");
    const bytes = text("0123456789");
    await server.as("alice").put(path, bytes);
    const etag = `"${sha256(bytes)}"`;
    const head = await server.anonymous.head(path);
    expect([head.headers.get("etag"), head.headers.get("content-length")]).toEqual([etag, "10"]);
    expect(head.headers.get("cache-control")).toBe("public, no-cache");
    const part = await server.anonymous.get(path, { range: "bytes=2-4" });
    expect([part.status, await part.text(), part.headers.get("content-range")]).toEqual([206, "234", "bytes 2-4/10"]);
    expect((await server.anonymous.get(path, { range: "bytes=99-" })).status).toBe(416);
    expect((await server.anonymous.get(path, { "if-none-match": etag })).status).toBe(304);
    const mine = await server.as("o-private").get(address("o-private", "seed", "1", "seed.bin"));
    expect(mine.headers.get("cache-control")).toBe("private, max-age=0");
  });

  test("share their blob with a conda package, in either order of deletion", async () => {
    const built = buildPackage({ name: "shared-bytes", version: "1" });
    const conda = `/api/packages/alice/conda/noarch/${built.fileName}`;
    const generic = address("alice", "copies", "1", built.fileName);
    expect((await server.as("alice").put(generic, built.bytes)).status).toBe(201);
    expect((await server.as("alice").put(conda, built.bytes)).status).toBe(201);
    const hash = sha256(built.bytes);
    expect(tables.all("SELECT 1 FROM package_blob WHERE sha256 = ?", hash)).toHaveLength(1);
    expect((await server.as("alice").delete(generic)).status).toBe(204);
    expect((await server.anonymous.get(`/alice/noarch/${built.fileName}`)).status).toBe(200);
    expect(tables.all("SELECT unreferenced_at FROM package_blob WHERE sha256 = ?", hash)).toEqual([
      { unreferenced_at: null },
    ]);
    expect((await server.as("alice").put(generic, built.bytes)).status).toBe(201);
    expect((await server.as("alice").delete(conda)).status).toBe(204);
    expect((await server.anonymous.get(generic)).status).toBe(200);
  });

  test("have the limits of conda packages, and leave nothing behind when refused", async () => {
    const stored = await server.storedFiles();
    const large = new Uint8Array(1024 ** 2 + 1);
    expect((await server.as("alice").put(address("alice", "large", "1", "x"), large)).status).toBe(413);
    const wrong = { "x-checksum-sha256": "0".repeat(64) };
    expect((await server.as("alice").put(address("alice", "wrong", "1", "x"), text("x"), wrong)).status).toBe(422);
    const packed = { "content-encoding": "gzip" };
    expect((await server.as("alice").put(address("alice", "packed", "1", "x"), text("x"), packed)).status).toBe(415);
    expect((await server.as("alice").put(address("alice", "empty", "1", "x"), null)).status).toBe(400);
    expect(await server.storedFiles()).toEqual(stored);
  });

  test("refuse other methods", async () => {
    const file = await server.as("alice").send("POST", address("alice", "a", "1", "x"));
    expect([file.status, file.headers.get("allow")]).toEqual([405, "GET, HEAD, PUT, DELETE"]);
    const version = await server.as("alice").get(address("alice", "a", "1"));
    expect([version.status, version.headers.get("allow")]).toEqual([405, "DELETE"]);
  });
});

describe("a generic version", () => {
  test("is deleted with all its files in one revision, each in the audit trail, and its names become free", async () => {
    const files = ["a", "b", "c"];
    for (const file of files) await server.as("alice").put(address("alice", "gone", "1", file), text(file));
    await server.as("alice").put(address("alice", "gone", "2", "a"), text("stays"));
    const revision = (): unknown =>
      tables.all(
        "SELECT revision FROM channel WHERE type = 'generic' AND owner_id = (SELECT id FROM owner WHERE name = 'alice')",
      )[0]?.revision;
    const before = Number(revision());
    expect((await server.as("alice").delete(address("alice", "Gone", "1"))).status).toBe(204);
    expect(revision()).toBe(before + 1);
    const rows = tables.audit().slice(-3);
    expect(
      rows.map(({ action, target, detail, actor }) => [action, target, JSON.parse(detail).revision, actor]),
    ).toEqual(files.map((file) => ["delete", `generic:alice/-/gone/1/${file}`, before + 1, "alice"]));
    for (const file of files)
      expect((await server.anonymous.get(address("alice", "gone", "1", file))).status).toBe(404);
    expect((await server.anonymous.get(address("alice", "gone", "2", "a"))).status).toBe(200);
    expect((await server.as("alice").delete(address("alice", "gone", "1"))).status).toBe(404);
    expect((await server.as("alice").put(address("alice", "gone", "1", "a"), text("new"))).status).toBe(201);
    const blobs = tables.all(
      "SELECT unreferenced_at IS NULL AS used FROM package_blob WHERE sha256 = ?",
      sha256(text("b")),
    );
    expect(blobs).toEqual([{ used: 0 }]);
    const history = tables.all(
      "SELECT file_name_folded, deleted_at IS NULL AS live FROM file_name_history WHERE section = 'gone/1' AND sha256 = ?",
      sha256(text("b")),
    );
    expect(history).toEqual([{ file_name_folded: "b", live: 0 }]);
  });

  test("of more files than one change can touch is not deleted", async () => {
    await server.as("alice").put(address("alice", "many", "1", "f"), text("many"));
    const columns = "version_id, channel_id, blob_id, section, package_name, record, metadata, published_at";
    tables.run(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
       INSERT INTO package_file (file_name, file_name_folded, ${columns})
       SELECT 'f' || i, 'f' || i, ${columns} FROM package_file, n WHERE section = 'many/1' AND file_name = 'f'`,
    );
    const refused = await server.as("alice").delete(address("alice", "many", "1"));
    expect([refused.status, (await jsonOf<{ limit: number }>(refused)).limit]).toEqual([422, 10_000]);
    expect((await server.as("alice").delete(address("alice", "many", "1", "f10000"))).status).toBe(204);
    expect((await server.as("alice").delete(address("alice", "many", "1"))).status).toBe(204);
    expect(tables.all("SELECT 1 FROM package WHERE name = 'many'")).toEqual([]);
    const audited = "SELECT count(*) AS n FROM audit_event WHERE action = 'delete' AND subject LIKE 'many/1/%'";
    expect(tables.all(audited)).toEqual([{ n: 10_001 }]);
  });

  test("without its last file no longer exists", async () => {
    const path = address("alice", "last", "1", "x");
    await server.as("alice").put(path, text("x"));
    expect((await server.as("alice").delete(path)).status).toBe(204);
    expect(tables.all("SELECT 1 FROM package WHERE name = 'last'")).toEqual([]);
    expect((await server.as("alice").delete(path)).status).toBe(404);
  });
});

describe("a generic channel", () => {
  test("is created by the first publish, with its row in the audit trail, and is listed and shown beside the conda channels", async () => {
    const path = address("o-public", "first", "1", "x");
    expect((await server.as("o-public").put(path, text("x"))).status).toBe(201);
    const last = tables.audit().at(-1);
    expect([last?.action, last?.target]).toEqual(["publish", "generic:o-public/-/first/1/x"]);
    const listed = await server.manage.channels.list("o-public");
    expect(listed.map(({ channel }) => channel)).toContain("generic:o-public/-");
    const shown = await server.manage.channels.show({ type: "generic", owner: "o-public", channel: "" });
    expect([shown.channel, shown.policy]).toEqual(["generic:o-public/-", {}]);
  });

  test("is refused a name, conda's policy, and any other type", async () => {
    const named = server.manage.channels.create({ type: "generic", owner: "alice", channel: "main" }, {});
    expect((await errorOf(named)).message).toContain("a generic channel has no name: write generic:OWNER/-");
    const set = server.manage.channels.change(
      { type: "generic", owner: "alice", channel: "" },
      { policy: { shards: "on" } },
    );
    expect((await errorOf(set)).message).toContain("Unknown policy shards. Valid policies: none.");
    const other = server.manage.channels.change({ type: "cargo", owner: "alice", channel: "" }, { description: "x" });
    expect((await errorOf(other)).message).toContain('Unknown package type "cargo". Valid types: conda, generic.');
  });

  test("is checked by verify at every level, and has no documents to reindex", async () => {
    for (const level of ["quick", "full", "deep"] as const) {
      expect([level, await problemsOf(server, level)]).toEqual([level, []]);
    }
    const documents: string[] = [];
    await server.app.reindex({ onDocument: ({ channel }) => documents.push(channel) });
    expect(documents.filter((channel) => channel.startsWith("generic:"))).toEqual([]);
    const channel = { type: "generic", owner: "alice", channel: "" };
    expect((await errorOf(server.app.reindex({ channel, onDocument: () => {} }))).message).toContain(
      "A generic channel has no documents.",
    );
  });
});

test("uploads of generic files under way count together with those of conda packages", async () => {
  const narrow = await startTestApp({ settings: { "uploads-per-account": "1", "uploads-per-token": "1" } });
  try {
    const zoe = await narrow.addUser("zoe");
    let end = (): void => {};
    const begun = Promise.withResolvers<void>();
    const pull = (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> => {
      controller.enqueue(text("begun"));
      begun.resolve();
      return new Promise((resolve) => {
        end = () => resolve(controller.close());
      });
    };
    const slow = new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 });
    const first = zoe.put(address("zoe", "slow", "1", "x"), slow);
    await begun.promise;
    let status = 0;
    for (let tries = 0; tries < 200 && status !== 429; tries++) {
      status = (await zoe.put(`/api/packages/zoe/conda/x-1-0.conda`, text("no package"))).status;
      await Bun.sleep(5);
    }
    expect(status).toBe(429);
    expect((await zoe.put(address("zoe", "quick", "1", "x"), text("x"))).status).toBe(429);
    end();
    expect((await first).status).toBe(201);
    expect((await zoe.put(address("zoe", "quick", "1", "x"), text("x"))).status).toBe(201);
  } finally {
    await narrow.close();
  }
});

test("a backup contains generic files, and the collector deletes the deleted ones", async () => {
  const room = await mkdtemp(join(tmpdir(), "condarium-generic-"));
  const [target, dataFolder] = [join(room, "backup"), join(room, "restored")];
  try {
    const kept = address("alice", "kept", "1", "x");
    const bytes = text("to be kept");
    await server.as("alice").put(kept, bytes);
    const said: unknown[] = [];
    const onProblem = (problem: unknown): void => void said.push(problem);
    await server.app.backup({ target, onProblem });
    const output = { line: onProblem, note: () => {}, rows: () => {} };
    expect(await runHere(["restore", target, "--data", dataFolder], output)).toBe(0);
    const again = await startTestApp({ folder: dataFolder });
    expect(await bytesOf(await again.anonymous.get(kept))).toEqual(Buffer.from(bytes));
    await again.as("alice").delete(kept);
    await again.app.gc({ graceMs: 0 });
    const blob = blobKey(sha256(bytes));
    expect((await again.storedFiles()).includes(blob)).toBe(false);
    expect((await server.storedFiles()).includes(blob)).toBe(true);
    await again.app.verify({ level: "full", onProblem });
    await again.close();
    expect(said).toEqual([]);
  } finally {
    await rm(room, { recursive: true, force: true, maxRetries: 5 });
  }
});

test("requests for generic files are counted under fixed route names", async () => {
  const rendered = await server.app.metrics.render();
  expect(rendered).toContain('route="/api/packages/:owner/generic/:name/:version/:file"');
  expect(rendered).not.toContain("seed.bin");
});
