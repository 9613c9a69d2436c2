import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { bytesOf, jsonOf } from "../support/answers.ts";
import { PASSWORD, startTestApp, type Actor, type TestApp } from "../support/app.ts";
import { buildPackage } from "../support/package-builder.ts";

let server: TestApp;
let alice: Actor;
let bob: Actor;

beforeAll(async () => {
  server = await startTestApp({ settings: { "max-upload-size": "64KiB" } });
  alice = await server.addUser("alice");
  bob = await server.addUser("bob");
});
afterAll(() => server.close());

const root = "/api/packages/alice/conda";

describe("publish", () => {
  test.each(["conda", "tar.bz2"] as const)("stores a .%s and shows it to the next reader", async (format) => {
    const built = buildPackage({
      name: `shown-${format.replace(".", "-")}`,
      version: "1.0",
      format,
      depends: ["python"],
    });
    const answer = await alice.put(`${root}/main/${built.fileName}`, built.bytes);
    expect(answer.status).toBe(201);
    const body: Record<string, unknown> = await jsonOf(answer);
    expect(body).toMatchObject({
      channel: "alice/main",
      version: "1.0",
      build: "0",
      subdir: "noarch",
      filename: built.fileName,
      size: built.bytes.length,
      sha256: built.sha256,
      url: `https://conda.example/alice/main/noarch/${built.fileName}`,
      findings: [],
    });
    expect(answer.headers.get("location")).toBe(`https://conda.example/alice/main/noarch/${built.fileName}`);
    const repodata = await readRepodata(server.anonymous, "/alice/main/noarch");
    const records = repodata[format === "conda" ? "packages.conda" : "packages"];
    expect(records[built.fileName]).toMatchObject({
      sha256: built.sha256,
      size: built.bytes.length,
      depends: ["python"],
      subdir: "noarch",
      indexed_timestamp: body.published_at,
    });
    const file = await server.anonymous.get(`/alice/main/noarch/${built.fileName}`);
    expect(await bytesOf(file)).toEqual(Buffer.from(built.bytes));
  });

  test("stores exactly the blob and its file list", async () => {
    const own = await startTestApp();
    try {
      await own.addUser("carol");
      const built = buildPackage({ name: "exact", version: "1" });
      await own.as("carol").put(`/api/packages/carol/conda/${built.fileName}`, built.bytes);
      const place = `${built.sha256.slice(0, 2)}/${built.sha256.slice(2, 4)}/${built.sha256}`;
      expect(await own.storedFiles()).toEqual([`blobs/${place}`, `files/${place}`]);
    } finally {
      await own.close();
    }
  });

  test("accepts any name with the right extension, stores the canonical one and says so", async () => {
    const built = buildPackage({ name: "renamed", version: "2.0", build: "h1_0" });
    const answer = await alice.put(`${root}/main/package-1.0.conda`, built.bytes);
    expect(answer.status).toBe(201);
    const body: { filename: string; findings: { rule: string; level: string }[] } = await jsonOf(answer);
    expect(body.filename).toBe("renamed-2.0-h1_0.conda");
    expect(body.findings.map(({ rule, level }) => `${rule} ${level}`)).toEqual(["file-name-mismatch warning"]);
    expect((await server.anonymous.get("/alice/main/noarch/package-1.0.conda")).status).toBe(404);
    expect((await server.anonymous.get("/alice/main/noarch/renamed-2.0-h1_0.conda")).status).toBe(200);
  });

  test("refuses a file whose name disagrees with index.json where the path has the subdir", async () => {
    const built = buildPackage({ name: "strictly", version: "1" });
    const answer = await alice.put(`/alice/main/noarch/other-1-0.conda`, built.bytes);
    expect(answer.status).toBe(422);
    expect(await rulesOf(answer)).toEqual(["file-name-mismatch"]);
  });

  test("refuses a package whose subdir differs from the path's", async () => {
    const built = buildPackage({ name: "elsewhere", version: "1", subdir: "linux-64" });
    const answer = await alice.put(`/alice/main/noarch/${built.fileName}`, built.bytes);
    expect(answer.status).toBe(422);
    expect(await rulesOf(answer)).toEqual(["subdir-mismatch"]);
    expect((await server.anonymous.get(`/alice/main/linux-64/${built.fileName}`)).status).toBe(404);
  });

  test("accepts a channel whose name looks like a subdir", async () => {
    const built = buildPackage({ name: "like", version: "1" });
    expect((await alice.put(`${root}/test-channel/${built.fileName}`, built.bytes)).status).toBe(201);
    expect((await server.anonymous.get(`/alice/test-channel/noarch/${built.fileName}`)).status).toBe(200);
    expect((await server.anonymous.get(`/alice/noarch/${built.fileName}`)).status).toBe(404);
  });

  test("responds with 409 to an existing name and says whether the bytes are the same", async () => {
    const first = buildPackage({ name: "twice", version: "1" });
    const other = buildPackage({ name: "twice", version: "1", files: { "share/other": "other" } });
    expect((await alice.put(`${root}/main/${first.fileName}`, first.bytes)).status).toBe(201);
    const again = await alice.put(`${root}/main/${first.fileName}`, first.bytes);
    expect([again.status, (await problemOf(again)).identical]).toEqual([409, true]);
    const changed = await alice.put(`${root}/main/${other.fileName}`, other.bytes);
    expect([changed.status, (await problemOf(changed)).identical]).toEqual([409, false]);
    const stored = await server.anonymous.get(`/alice/main/noarch/${first.fileName}`);
    expect(await bytesOf(stored)).toEqual(Buffer.from(first.bytes));
  });

  test("lets exactly one of fifty concurrent publishes of one name win", async () => {
    const rivals = Array.from({ length: 50 }, (_, at) =>
      buildPackage({ name: "race", version: "1", files: { "share/race": String(at) } }),
    );
    const before = await server.storedFiles();
    const answers = await Promise.all(rivals.map((rival) => alice.put(`${root}/race/${rival.fileName}`, rival.bytes)));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array.from({ length: 49 }, () => 409)]);
    const winner = rivals[answers.findIndex(({ status }) => status === 201)];
    // Those who lost at the last step had already put their blobs in place.
    const hash = winner?.sha256 ?? "";
    const place = `${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash}`;
    expect(await server.storedFiles()).toEqual([...before, `blobs/${place}`, `files/${place}`].sort());
    const stored = await server.anonymous.get(`/alice/race/noarch/${winner?.fileName}`);
    expect(await bytesOf(stored)).toEqual(Buffer.from(winner?.bytes ?? []));
  });

  test("refuses a duplicate before it stores a blob, and leaves the first file unchanged", async () => {
    const promoted: string[] = [];
    const own = await startTestApp({ failpoint: (name) => void promoted.push(name) });
    try {
      const carol = await own.addUser("carol");
      const first = buildPackage({ name: "kept", version: "1" });
      expect((await carol.put(`/carol/main/noarch/${first.fileName}`, first.bytes)).status).toBe(201);
      const before = await own.storedFiles();
      promoted.length = 0;
      for (const text of ["a", "b", "c"]) {
        const other = buildPackage({ name: "kept", version: "1", files: { "share/kept": text } });
        expect((await carol.put(`/carol/main/noarch/${other.fileName}`, other.bytes)).status).toBe(409);
        expect(await own.storedFiles()).toEqual(before);
      }
      expect((await carol.put(`/carol/main/noarch/${first.fileName}`, first.bytes)).status).toBe(409);
      expect(promoted).not.toContain("p4.renamed");
      expect(await own.storedFiles()).toEqual(before);
      const stored = await own.anonymous.get(`/carol/main/noarch/${first.fileName}`);
      expect(await bytesOf(stored)).toEqual(Buffer.from(first.bytes));
    } finally {
      await own.close();
    }
  });

  test("that fails after its blob is in place deletes the blob, unless another file refers to it", async () => {
    let fails = false;
    const own = await startTestApp({
      failpoint: (name) => {
        if (fails && (name === "p5.dir_fsynced" || name === "p4.stored")) throw new Error("on purpose");
      },
    });
    try {
      const carol = await own.addUser("carol");
      const built = buildPackage({ name: "kept", version: "1" });
      fails = true;
      expect((await carol.put(`/carol/main/noarch/${built.fileName}`, built.bytes)).status).toBe(500);
      expect(await own.storedFiles()).toEqual([]);
      fails = false;
      expect((await carol.put(`/carol/main/noarch/${built.fileName}`, built.bytes)).status).toBe(201);
      const before = await own.storedFiles();
      fails = true;
      expect((await carol.put(`/carol/other/noarch/${built.fileName}`, built.bytes)).status).toBe(500);
      expect(await own.storedFiles()).toEqual(before);
    } finally {
      await own.close();
    }
  });

  test("refuses metadata that would make documents large, naming the member, its size and the limit", async () => {
    const specs = Array.from({ length: 65 }, (_, at) => `${at} ${"x".repeat(4026)}`);
    const exporting = buildPackage({ name: "exporting", version: "1", info: { "run_exports.json": { weak: specs } } });
    for (const query of ["", "?dry_run=true"]) {
      const answer = await alice.put(`${root}/main/${exporting.fileName}${query}`, exporting.bytes);
      expect(answer.status).toBe(400);
      const problem = await problemOf(answer);
      expect(problem.detail).toContain("info/run_exports.json");
      expect(problem.detail).toContain("262144");
      expect(problem.findings).toMatchObject([{ rule: "stored-size", path: "info/run_exports.json" }]);
    }
    const unusable = Array.from({ length: 10_000 }, (_, at) => `${at} ${"x".repeat(40)}`);
    const long = buildPackage({ name: "long", version: "1", info: { "run_exports.json": { weak: unusable } } });
    const tooLong = await alice.put(`${root}/main/${long.fileName}`, long.bytes);
    expect(await problemOf(tooLong)).toMatchObject({
      status: 400,
      detail: expect.stringMatching(/info\/run_exports\.json has \d+ bytes; the limit is 262144 bytes/),
    });
    const about = { description: "d".repeat(200_000) };
    const both = buildPackage({
      name: "both",
      version: "1",
      info: { "run_exports.json": { weak: specs.slice(35) }, "about.json": about },
    });
    const answer = await alice.put(`${root}/main/${both.fileName}`, both.bytes);
    expect([answer.status, String((await problemOf(answer)).detail)]).toEqual([
      400,
      expect.stringContaining("info/about.json"),
    ]);
    const fine = buildPackage({ name: "fine", version: "1", info: { "about.json": about } });
    expect((await alice.put(`${root}/main/${fine.fileName}`, fine.bytes)).status).toBe(201);
  });

  test("refuses, before reading it, a body that announces more than the free space", async () => {
    const { bavail, bsize } = await statfs(tmpdir());
    const half = Math.floor((bavail * bsize) / 2);
    const settings = { "min-free-space": String(half), "max-upload-size": "4096TiB" };
    const own = await startTestApp({ settings });
    try {
      const carol = await own.addUser("carol");
      const { fileName, bytes } = buildPackage({ name: "roomy", version: "1" });
      const path = `/carol/main/noarch/${fileName}`;
      const refused = await carol.put(path, bytes, { "content-length": String(Math.floor(half * 1.2)) });
      expect(refused.status).toBe(507);
      expect((await problemOf(refused)).detail).toContain(String(Math.floor(half * 1.2)));
      expect(await own.storedFiles()).toEqual([]);
      expect((await carol.put(path, bytes, { "content-length": String(bytes.byteLength) })).status).toBe(201);
    } finally {
      await own.close();
    }
  });

  test("refuses an invalid package with 400 on Gitea's form, and leaves nothing behind", async () => {
    const before = await server.storedFiles();
    const answer = await alice.put(`${root}/main/broken-1-0.conda`, new TextEncoder().encode("no zip at all"));
    expect(answer.status).toBe(400);
    const problem = await problemOf(answer);
    expect(problem.findings).toBeArray();
    expect(String(problem.detail).length).toBeLessThanOrEqual(500);
    expect(await server.storedFiles()).toEqual(before);
  });

  test.each([
    ["a body over the limit", new Uint8Array(70 * 1024), {}, 413, "unread"],
    ["a body over the announced limit", new Uint8Array(10), { "content-length": "99999999" }, 413, "unread"],
    ["an empty body", new Uint8Array(0), {}, 400, "read"],
    ["a missing body", null, {}, 400, "none"],
    ["an encoded body", new Uint8Array(10), { "content-encoding": "gzip" }, 415, "unread"],
    ["a wrong sha256", new Uint8Array(10), { "x-checksum-sha256": "0".repeat(64) }, 422, "read"],
    ["a sha256 that is none", new Uint8Array(10), { "x-checksum-sha256": "abc" }, 400, "unread"],
  ])("refuses %s", async (_, body, headers, status, rest) => {
    const answer = await alice.put(`${root}/main/refused-1-0.conda`, body, headers);
    expect(answer.status).toBe(status);
    expect(answer.headers.get("content-type")).toBe("application/problem+json");
    // A connection whose body was read to its end can be used again.
    expect(answer.headers.get("connection")).toBe(rest === "unread" ? "close" : null);
  });

  test("refuses a wrong extension and an invalid channel name", async () => {
    const { bytes } = buildPackage({ name: "any", version: "1" });
    expect((await alice.put(`${root}/main/any-1-0.zip`, bytes)).status).toBe(400);
    expect((await alice.put(`${root}/Main/any-1-0.conda`, bytes)).status).toBe(400);
    expect((await alice.put(`${root}/a/t/b/any-1-0.conda`, bytes)).status).toBe(400);
  });

  test("accepts a multipart form with one file, with and without a file name", async () => {
    for (const [at, disposition] of ['form-data; name="file"', 'form-data; name="file"; filename="../x"'].entries()) {
      const built = buildPackage({ name: `form-${at}`, version: "1" });
      const body = Buffer.concat([
        Buffer.from(`--edge\r\nContent-Disposition: ${disposition}\r\n\r\n`),
        built.bytes,
        Buffer.from("\r\n--edge--\r\n"),
      ]);
      const answer = await alice.put(`${root}/main/${built.fileName}`, body, {
        "content-type": "multipart/form-data; boundary=edge",
      });
      expect([answer.status, await answer.text()]).toEqual([201, expect.stringContaining(built.sha256)]);
    }
  });

  test("with dry_run checks everything and stores nothing", async () => {
    const built = buildPackage({ name: "dry", version: "1" });
    const before = await server.storedFiles();
    const answer = await alice.put(`${root}/main/${built.fileName}?dry_run=true`, built.bytes);
    expect(answer.status).toBe(200);
    expect(await jsonOf(answer)).toMatchObject({ filename: built.fileName, revision: null, published_at: null });
    expect(await server.storedFiles()).toEqual(before);
    expect((await server.anonymous.get(`/alice/main/noarch/${built.fileName}`)).status).toBe(404);
  });

  test("refuses strangers before it reads the body", async () => {
    let pulled = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        pull: (controller) => {
          pulled += 1;
          controller.enqueue(new Uint8Array(1024));
        },
      },
      { highWaterMark: 0 },
    );
    const answer = await bob.put(`${root}/main/x-1-0.conda`, body);
    expect(answer.status).toBe(403);
    expect(answer.headers.get("connection")).toBe("close");
    expect(pulled).toBe(0);
    expect((await server.anonymous.put(`${root}/main/x-1-0.conda`, new Uint8Array(9))).status).toBe(401);
  });
});

describe("delete", () => {
  test("removes the file from the channel and from every document", async () => {
    const built = buildPackage({ name: "gone", version: "1" });
    await alice.put(`${root}/main/${built.fileName}`, built.bytes);
    const place = `${root}/main/noarch/${built.fileName}`;
    expect((await server.anonymous.delete(place)).status).toBe(401);
    expect((await bob.delete(place)).status).toBe(403);
    expect((await alice.delete(place)).status).toBe(204);
    expect((await alice.delete(place)).status).toBe(404);
    expect((await server.anonymous.get(place)).status).toBe(404);
    const repodata = await readRepodata(server.anonymous, "/alice/main/noarch");
    expect(Object.keys(repodata["packages.conda"])).not.toContain(built.fileName);
    expect(repodata.removed).not.toContain(built.fileName);
    expect((await alice.put(`${root}/main/${built.fileName}`, built.bytes)).status).toBe(201);
  });
});

test("no log line contains a password", () => {
  expect(server.log()).toContain('"event":"publish"');
  expect(server.log()).not.toContain(PASSWORD);
  expect(server.log()).not.toContain(Buffer.from(`alice:${PASSWORD}`).toString("base64"));
});

type Repodata = {
  readonly packages: Record<string, unknown>;
  readonly "packages.conda": Record<string, unknown>;
  readonly removed: string[];
};

async function readRepodata(actor: Actor, subdir: string): Promise<Repodata> {
  const plain: Repodata = await jsonOf(await actor.get(`${subdir}/repodata.json`));
  const packed = await bytesOf(await actor.get(`${subdir}/repodata.json.zst`));
  expect(JSON.parse(Bun.zstdDecompressSync(packed).toString())).toEqual(plain);
  return plain;
}

async function problemOf(answer: Response): Promise<Record<string, unknown>> {
  return await jsonOf(answer);
}

async function rulesOf(answer: Response): Promise<string[]> {
  const problem: { findings: { rule: string }[] } = await jsonOf(answer);
  return problem.findings.map(({ rule }) => rule);
}
