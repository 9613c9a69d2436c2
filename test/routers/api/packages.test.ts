import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { apiOf, bearer, type ApiClient } from "../../support/api.ts";
import { startTestApp, type TestApp } from "../../support/app.ts";
import { newToken } from "../../support/manage.ts";
import { buildPackage, type BuiltPackage } from "../../support/package-builder.ts";
import { rowsIn } from "../../support/rows.ts";

type Package = { id: number; name: string; version: string };

let server: TestApp;
let alice: ApiClient;
let stranger: ApiClient;
const built: Record<string, BuiltPackage> = {};

beforeAll(async () => {
  server = await startTestApp();
  for (const name of ["alice", "stranger", "maintainer", "canary-nothing"]) await server.addUser(name);
  [alice, stranger] = [apiOf(server, "alice"), apiOf(server, "stranger")];
  await server.manage.channels.create({ owner: "alice", channel: "canary-secret" }, { visibility: "private" });
  for (const [channel, name, version] of [
    ["main", "tool", "1"],
    ["main", "tool", "2"],
    ["main", "other", "1"],
    ["team/dev", "tool", "1"],
    ["", "bare", "1"],
    ["canary-secret", "canary-package", "1"],
  ] as const) {
    const one = buildPackage({ name, version });
    built[`${channel}/${name}-${version}`] = one;
    const form = channel === "" ? "" : `/${channel}`;
    const { status } = await server.as("alice").put(`/api/packages/alice/conda${form}/${one.fileName}`, one.bytes);
    expect(status).toBe(201);
  }
  const second = buildPackage({ name: "tool", version: "1", build: "second" });
  expect((await server.as("alice").put(`/api/packages/alice/conda/main/${second.fileName}`, second.bytes)).status).toBe(
    201,
  );
  const file = await server.as("alice").put("/api/packages/alice/generic/gen/1.0/gen.bin", new Uint8Array([1, 2, 3]));
  expect(file.status).toBe(201);
  await server.manage.grants.set({ owner: "alice", channel: "main" }, "maintainer", "maintainer");
  await server.manage.channels.change({ owner: "canary-nothing", channel: undefined }, { visibility: "private" });
});
afterAll(() => server.close());

const namesOf = ({ json }: { json: unknown }): string[] =>
  (json as Package[]).map(({ name, version }) => `${name} ${version}`);

describe("the packages of an owner", () => {
  test("are one entry per version, with Gitea's members", async () => {
    const { status, json, headers } = await stranger("GET", "/packages/alice?type=conda");
    expect([status, headers.get("x-total-count")]).toEqual([200, "5"]);
    expect(namesOf({ json }).sort()).toEqual([
      "bare 1",
      "main/other 1",
      "main/tool 1",
      "main/tool 2",
      "team/dev/tool 1",
    ]);
    expect((json as object[])[0]).toEqual({
      id: expect.any(Number),
      owner: expect.objectContaining({ login: "alice", email: "" }),
      repository: null,
      creator: null,
      type: "conda",
      name: expect.any(String),
      version: expect.any(String),
      html_url: expect.stringMatching(/^https:\/\/conda\.example\/alice/),
      created_at: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    expect(namesOf(await stranger("GET", "/packages/alice?type=generic"))).toEqual(["gen 1.0"]);
    expect((await stranger("GET", "/packages/alice?type=rpm")).json).toEqual([]);
  });

  test("have pages, and a search that takes a text literally", async () => {
    const seen: string[] = [];
    for (let page = 1; page <= 3; page++)
      seen.push(...namesOf(await stranger("GET", `/packages/alice?limit=2&page=${page}`)));
    expect([seen.length, new Set(seen).size]).toEqual([5, 5]);
    expect(namesOf(await stranger("GET", "/packages/alice?q=OOL")).sort()).toEqual([
      "main/tool 1",
      "main/tool 2",
      "team/dev/tool 1",
    ]);
    for (const q of ["%", "_", "\\", "t%l"]) {
      expect([q, (await stranger("GET", `/packages/alice?q=${encodeURIComponent(q)}`)).json]).toEqual([q, []]);
    }
    expect((await stranger("GET", "/packages/alice?page=999999999&limit=50")).json).toEqual([]);
  });

  test("in a private channel are listed for those who can read it alone", async () => {
    expect(namesOf(await alice("GET", "/packages/alice"))).toContain("canary-secret/canary-package 1");
    const publicOnly = await newToken(server.manage, { user: "alice", name: "public", scopes: ["all", "public-only"] });
    for (const client of [stranger, apiOf(server), apiOf(server, undefined, bearer(publicOnly))]) {
      const { text, headers } = await client("GET", "/packages/alice");
      expect([text.includes("canary"), headers.get("x-total-count")]).toEqual([false, "5"]);
      for (const rest of ["", "/files"]) {
        const path = (name: string) => `/packages/alice/conda/canary-secret%2F${name}/1${rest}`;
        const [theirs, absent] = [await client("GET", path("canary-package")), await client("GET", path("absent"))];
        expect([404, 401]).toContain(theirs.status);
        expect(theirs.text).toBe(absent.text);
      }
    }
  });

  test("of a private and of an absent owner look the same", async () => {
    for (const client of [stranger, apiOf(server)]) {
      const answers = await Promise.all(
        ["canary-nothing", "nobody"].map((owner) => client("GET", `/packages/${owner}`)),
      );
      expect(answers[0]?.text).toBe(answers[1]?.text ?? "");
      expect(answers[0]?.status).toBe(client === stranger ? 404 : 401);
    }
  });
});

describe("a version", () => {
  test("has its files with their hashes", async () => {
    const shown = await stranger("GET", "/packages/alice/conda/main%2Ftool/1");
    expect([shown.status, shown.json]).toMatchObject([200, { name: "main/tool", version: "1", type: "conda" }]);
    const files = (await stranger("GET", "/packages/alice/conda/main%2FTool/1/files")).json as object[];
    const first = built["main/tool-1"];
    expect(files.length).toBe(2);
    expect(files).toContainEqual({
      id: expect.any(Number),
      name: first?.fileName ?? "",
      size: first?.bytes.byteLength,
      md5: expect.stringMatching(/^[0-9a-f]{32}$/),
      sha256: new Bun.CryptoHasher("sha256").update(first?.bytes ?? "").digest("hex"),
      subdir: "noarch",
    });
    expect((await stranger("GET", "/packages/alice/conda/bare/1")).json).toMatchObject({ name: "bare" });
    for (const path of ["main%2Ftool/3", "main%2Fabsent/1", "tool/1", "main%2Ftool%2F/1"]) {
      expect([path, (await stranger("GET", `/packages/alice/conda/${path}`)).status]).toEqual([path, 404]);
    }
  });

  test("is deleted by a maintainer, with all of its files in one revision, and nothing else", async () => {
    const path = "/packages/alice/conda/main%2Ftool/1";
    const bound = await newToken(server.manage, {
      user: "alice",
      name: "bound",
      scopes: ["delete:package"],
      packages: ["TOOL", "other"],
    });
    const writes = await newToken(server.manage, { user: "alice", name: "writes", scopes: ["write:package"] });
    for (const [client, status] of [
      [stranger, 403],
      [apiOf(server), 401],
      [apiOf(server, undefined, bearer(writes)), 403],
      [apiOf(server, undefined, bearer(bound)), 403],
    ] as const) {
      expect((await client("DELETE", path)).status).toBe(status);
    }
    expect((await apiOf(server, undefined, bearer(bound))("DELETE", path.replace("tool", "TOOL"))).status).toBe(403);
    const revision = async (): Promise<number> =>
      ((await stranger("GET", "/channels/alice/main")).json as { revision: number }).revision;
    const before = await revision();
    expect(await (await server.anonymous.get("/alice/main/noarch/repodata.json")).text()).toContain("tool-1-");
    expect((await apiOf(server, "maintainer")("DELETE", path)).status).toBe(204);
    expect(await revision()).toBe(before + 1);
    const maker = `SELECT owner.name FROM channel_revision JOIN "user" ON "user".id = channel_revision.actor_id
      JOIN owner ON owner.id = "user".owner_id JOIN channel ON channel.id = channel_revision.channel_id
      WHERE channel.name = 'main' AND channel_revision.revision = ?`;
    expect(rowsIn(server.folder, maker, before + 1)).toEqual([{ name: "maintainer" }]);
    expect((await stranger("GET", path)).status).toBe(404);
    expect((await apiOf(server, "maintainer")("DELETE", path)).status).toBe(404);
    expect((await server.anonymous.get(`/alice/main/noarch/${built["main/tool-1"]?.fileName}`)).status).toBe(404);
    const repodata = await (await server.anonymous.get("/alice/main/noarch/repodata.json")).text();
    expect([repodata.includes("tool-1-"), repodata.includes("tool-2-"), repodata.includes("other-1-")]).toEqual([
      false,
      true,
      true,
    ]);
    const dev = `/alice/team/dev/noarch/${built["team/dev/tool-1"]?.fileName}`;
    expect((await server.anonymous.get(dev)).status).toBe(200);
    expect(
      (
        await server
          .as("alice")
          .put(`/api/packages/alice/conda/main/${built["main/tool-1"]?.fileName}`, built["main/tool-1"]?.bytes ?? null)
      ).status,
    ).toBe(201);
  });
});
