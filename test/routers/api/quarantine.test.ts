// Quarantine over HTTP: who may do it, what cannot be done with a quarantined file, and what a release restores.

import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { COMMAND_LINE } from "../../../src/services/actor.ts";
import { jsonOf } from "../../support/answers.ts";
import { apiOf, bearer, type ApiClient } from "../../support/api.ts";
import { startTestApp, type TestApp } from "../../support/app.ts";
import { newToken } from "../../support/manage.ts";
import { buildPackage, type BuiltPackage } from "../../support/package-builder.ts";
import { setState } from "../../support/state.ts";
import { statementsOf, type Statements } from "../../support/statements.ts";

setDefaultTimeout(60_000);

let server: TestApp;
let statements: Statements;
let boss: ApiClient;
const tokens: Record<string, string> = {};
type ChannelReport = { readonly channel: string; readonly files: number; readonly revision: number | null };
const EVIL = buildPackage({ name: "evil", version: "1" });
const GOOD = buildPackage({ name: "good", version: "1" });
const CHANNELS = ["alice/main", "alice/secret", "bob/main"];

beforeAll(async () => {
  server = await startTestApp();
  statements = await statementsOf(server);
  await server.addUser("boss", { admin: true });
  for (const name of ["alice", "bob", "stranger", "reader", "publisher", "maintainer"]) await server.addUser(name);
  for (const label of CHANNELS) {
    const [owner = "", channel = ""] = label.split("/");
    const visibility = channel === "secret" ? "private" : "public";
    await server.manage.channels.create({ owner, channel }, { visibility });
    for (const role of ["reader", "publisher", "maintainer"] as const)
      if (owner === "alice") await server.manage.grants.set({ owner, channel }, role, role);
  }
  const token = async (name: string, user: string, more: object): Promise<void> => {
    tokens[name] = await newToken(server.manage, { user, name, ...more });
  };
  await token("ci", "alice", { scopes: ["write:package"] });
  await token("to delete", "maintainer", { scopes: ["delete:package"] });
  await token("of another channel", "maintainer", { scopes: ["all"], channels: ["alice/secret"] });
  await token("of another package", "maintainer", { scopes: ["all"], packages: ["good"] });
  await token("of an administrator to delete", "boss", { scopes: ["delete:package"] });
  boss = apiOf(server, "boss");
  for (const label of CHANNELS) {
    expect(await publish(label, EVIL)).toBe(201);
    expect(await publish(label, GOOD)).toBe(201);
  }
});
afterEach(async () => {
  for (const { sha256 } of [EVIL, GOOD])
    await server.app.quarantines.releaseAll(COMMAND_LINE, { sha256 }, { dryRun: false });
});
afterAll(() => server.close());

async function publish(label: string, { fileName, bytes }: BuiltPackage, query = ""): Promise<number> {
  const [owner = "", channel = ""] = label.split("/");
  return (await server.as(owner).put(`/api/packages/${owner}/conda/${channel}/${fileName}${query}`, bytes)).status;
}

const fileUrl = (label: string, { fileName }: BuiltPackage = EVIL): string =>
  `/channels/${label}/files/noarch/${fileName}`;
const quarantine = async (as: ApiClient, label: string, built?: BuiltPackage) =>
  (await as("POST", `${fileUrl(label, built)}/quarantine`, { reason: "It steals keys" })).status;
const release = async (as: ApiClient, label: string, built?: BuiltPackage) =>
  (await as("POST", `${fileUrl(label, built)}/release`)).status;
const download = (label: string, { fileName }: BuiltPackage = EVIL, headers = {}) =>
  server.as(label.split("/")[0] ?? "").get(`/${label}/noarch/${fileName}`, headers);
const statuses = async (built = EVIL): Promise<number[]> =>
  await Promise.all(CHANNELS.map(async (label) => (await download(label, built)).status));

function clientOf(name: string): ApiClient {
  if (name === "anonymous") return apiOf(server);
  const token = tokens[name];
  return token === undefined ? apiOf(server, name) : apiOf(server, undefined, bearer(token));
}

describe("quarantining and releasing one file", () => {
  test.each([
    ["anonymous", 401, 401],
    ["stranger", 403, 404],
    ["reader", 403, 403],
    ["publisher", 403, 403],
    ["maintainer", 200, 200],
    ["alice", 200, 200],
    ["boss", 200, 200],
    ["bob", 403, 404],
    ["ci", 403, 403],
    ["to delete", 200, 200],
    ["of another channel", 403, 200],
    ["of another package", 403, 403],
    ["of an administrator to delete", 200, 200],
  ])("by %s gives %d in a public channel and %d in a private one", async (name, inPublic, inPrivate) => {
    for (const [label, status] of [
      ["alice/main", inPublic],
      ["alice/secret", inPrivate],
    ] as const) {
      const before = await statements.dump();
      expect([label, await quarantine(clientOf(name), label)]).toEqual([label, status]);
      if (status !== 200) {
        expect(await statements.dump()).toBe(before);
        await quarantine(apiOf(server, "alice"), label);
      }
      expect((await download(label)).status).toBe(403);
      expect([label, await release(clientOf(name), label)]).toEqual([label, status]);
      expect((await download(label)).status).toBe(status === 200 ? 200 : 403);
      await release(boss, label);
    }
  });

  test("is audited with its reason and its revision, and changes the revision by one", async () => {
    const revision = async () =>
      await statements.count("SELECT revision FROM channel JOIN owner ON owner.id = owner_id WHERE owner.name = 'bob'");
    const before = await revision();
    expect(await quarantine(boss, "bob/main")).toBe(200);
    expect(await release(boss, "bob/main")).toBe(200);
    expect(await revision()).toBe(before + 2);
    const rows = await statements.all("SELECT * FROM audit_event WHERE refusal IS NULL ORDER BY id DESC LIMIT 2");
    const target = `bob/main/noarch/${EVIL.fileName}`;
    expect(rows.map((row) => [row["action"], row["target"], row["actor"], JSON.parse(String(row["detail"]))])).toEqual([
      ["release", target, "boss", { sha256: EVIL.sha256, revision: before + 2 }],
      [
        "quarantine",
        target,
        "boss",
        { reason: "It steals keys", scope: "server", sha256: EVIL.sha256, revision: before + 1 },
      ],
    ]);
  });

  test("twice is a conflict, and of a missing file 404", async () => {
    expect([await release(boss, "bob/main"), await quarantine(boss, "bob/main")]).toEqual([409, 200]);
    expect([await quarantine(boss, "bob/main"), await release(boss, "bob/main")]).toEqual([409, 200]);
    const absent = buildPackage({ name: "absent", version: "1" });
    expect([await quarantine(boss, "bob/main", absent), await release(boss, "bob/main", absent)]).toEqual([404, 404]);
  });

  test.each([[""], ["   "], ["two\nlines"], ["x".repeat(1001)]])("refuses the reason %j", async (reason) => {
    const { status } = await boss("POST", `${fileUrl("bob/main")}/quarantine`, { reason });
    expect([status, (await download("bob/main")).status]).toEqual([422, 200]);
  });
});

describe("a quarantined file", () => {
  test("is refused to everyone who can read the channel, with the reason, however it is asked for", async () => {
    const etag = (await download("alice/main")).headers.get("etag") ?? "";
    expect(await quarantine(boss, "alice/main")).toBe(200);
    for (const form of ["/alice/main", "/api/packages/alice/conda/main", "/get/alice/main"]) {
      const url = `${form}/noarch/${EVIL.fileName}`;
      for (const headers of [{}, { range: "bytes=0-3" }, { "if-none-match": etag }, { "if-none-match": "*" }]) {
        for (const actor of [server.anonymous, server.as("alice"), server.as("boss")]) {
          const [got, head] = [await actor.get(url, headers), await actor.head(url, headers)];
          expect([url, headers, got.status, head.status]).toEqual([url, headers, 403, 403]);
          expect((await jsonOf<{ detail: string }>(got)).detail).toContain("Reason: It steals keys");
          expect(got.headers.get("cache-control")).toBe("no-store");
        }
      }
    }
    expect((await download("alice/main", GOOD)).status).toBe(200);
    expect((await download("bob/main")).status).toBe(200);
  });

  test("of a private channel is shown to nobody else", async () => {
    expect(await quarantine(boss, "alice/secret")).toBe(200);
    for (const actor of [server.anonymous, server.as("stranger"), server.as("bob")]) {
      const response = await actor.get(`/alice/secret/noarch/${EVIL.fileName}`);
      const absent = await actor.get(`/alice/secret/noarch/no-such-1-0.conda`);
      expect(response.status).toBe(absent.status);
      expect(await response.text()).toBe(await absent.text());
    }
  });

  test("was answered from memory before, and is not afterwards", async () => {
    const url = `/alice/main/noarch/${EVIL.fileName}`;
    for (let at = 0; at < 3; at += 1) expect((await server.anonymous.get(url)).status).toBe(200);
    expect(await quarantine(boss, "alice/main")).toBe(200);
    expect((await server.anonymous.get(url)).status).toBe(403);
  });

  test("cannot be published again: not the same bytes, in any channel, of any type, under any name", async () => {
    expect(await quarantine(boss, "alice/main")).toBe(200);
    const dump = await statements.dump();
    expect(await publish("alice/main", EVIL)).toBe(422);
    expect(await publish("alice/main", EVIL, "?skip_existing=true")).toBe(422);
    expect(await publish("alice/main", EVIL, "?dry_run=true")).toBe(422);
    expect(await publish("alice/new-channel", EVIL)).toBe(422);
    expect(await publish("alice/new-channel", EVIL, "?dry_run=true")).toBe(422);
    const generic = await server.as("bob").put("/api/packages/bob/generic/tool/1/tool.bin", EVIL.bytes);
    expect([generic.status, (await jsonOf<{ detail: string }>(generic)).detail]).toEqual([
      422,
      expect.stringContaining("quarantined"),
    ]);
    const present = server
      .as("alice")
      .put(`/api/packages/alice/conda/main/${EVIL.fileName}`, EVIL.bytes, { "if-none-match": "*" });
    expect((await present).status).toBe(412);
    expect(await statements.dump()).toBe(dump);
    expect(await release(boss, "alice/main")).toBe(200);
    expect((await server.as("bob").put("/api/packages/bob/generic/tool/1/tool.bin", EVIL.bytes)).status).toBe(201);
    expect((await server.as("bob").delete("/api/packages/bob/generic/tool/1/tool.bin")).status).toBe(204);
  });

  test("cannot be replaced by other bytes of its name, deleted or yanked, nor its channel deleted", async () => {
    expect(await quarantine(boss, "bob/main")).toBe(200);
    const dump = await statements.dump();
    const other = buildPackage({ name: "evil", version: "1", files: { "share/x": "other" } });
    const response = await server.as("bob").put(`/api/packages/bob/conda/main/${other.fileName}`, other.bytes);
    expect([response.status, (await jsonOf<{ detail: string }>(response)).detail]).toEqual([
      409,
      expect.stringContaining("is quarantined and cannot be replaced"),
    ]);
    expect(await publish("bob/main", other, "?skip_existing=true")).toBe(422);
    for (const actor of [server.as("bob"), server.as("boss")])
      expect((await actor.delete(`/bob/main/noarch/${EVIL.fileName}`)).status).toBe(409);
    expect((await server.as("bob").delete("/api/v1/packages/bob/conda/main%2Fevil/1")).status).toBe(409);
    expect(setState(server, `bob/main/noarch/${EVIL.fileName}`, "yanked")).rejects.toThrow("quarantined");
    const removal = server.app.channels.remove(COMMAND_LINE, { owner: "bob", channel: "main" }, { withFiles: true });
    expect(removal).rejects.toThrow("quarantined");
    await removal.catch(() => undefined);
    expect(await statements.dump()).toBe(dump);
    await server.app.gc({ graceMs: 0 });
    expect(await release(boss, "bob/main")).toBe(200);
    expect(Buffer.from(await (await download("bob/main")).arrayBuffer()).equals(Buffer.from(EVIL.bytes))).toBe(true);
  });

  test("is again what it was after its release: a yanked file is yanked", async () => {
    await setState(server, `bob/main/noarch/${EVIL.fileName}`, "yanked");
    expect(await quarantine(boss, "bob/main")).toBe(200);
    expect(await release(boss, "bob/main")).toBe(200);
    expect((await download("bob/main")).headers.get("warning")).toContain("yanked");
    await setState(server, `bob/main/noarch/${EVIL.fileName}`, "active");
  });
});

describe("a quarantine by a maintainer", () => {
  test("is for its channel: the same bytes can be published elsewhere, so that nobody can ban them for others", async () => {
    expect(await quarantine(apiOf(server, "maintainer"), "alice/main")).toBe(200);
    expect(await publish("alice/main", EVIL)).toBe(422);
    expect(await publish("bob/copies", EVIL)).toBe(201);
    await server.manage.channels.remove({ owner: "bob", channel: "copies" }, { withFiles: true });
  });

  test("is replaced by that of an administrator, which only an administrator ends", async () => {
    const maintainer = apiOf(server, "maintainer");
    expect(await quarantine(maintainer, "alice/main")).toBe(200);
    expect(await quarantine(boss, "alice/main")).toBe(200);
    expect(await quarantine(maintainer, "alice/main")).toBe(409);
    expect([await release(maintainer, "alice/main"), await release(apiOf(server, "alice"), "alice/main")]).toEqual([
      403, 403,
    ]);
    expect((await download("alice/main")).status).toBe(403);
    expect(await release(boss, "alice/main")).toBe(200);
    expect((await download("alice/main")).status).toBe(200);
  });

  test("is also that of an administrator's token that is not for the whole server", async () => {
    const narrow = clientOf("of an administrator to delete");
    expect(await quarantine(narrow, "alice/main")).toBe(200);
    expect(await publish("bob/copies", EVIL)).toBe(201);
    await server.manage.channels.remove({ owner: "bob", channel: "copies" }, { withFiles: true });
    expect(await quarantine(boss, "alice/main")).toBe(200);
    expect(await release(narrow, "alice/main")).toBe(403);
  });
});

describe("a quarantine of many files", () => {
  const byCi: BuiltPackage[] = ["one", "two"].map((name) => buildPackage({ name: `ci-${name}`, version: "1" }));
  let ci = 0;
  let between = "";

  beforeAll(async () => {
    ci = await statements.count("SELECT id FROM access_token WHERE name = 'ci'");
    for (const [at, built] of byCi.entries()) {
      const put = server
        .withToken(tokens["ci"] ?? "")
        .put(`/api/packages/alice/conda/main/${built.fileName}`, built.bytes);
      expect((await put).status).toBe(201);
      await Bun.sleep(10);
      if (at === 0) between = new Date().toISOString();
      await Bun.sleep(10);
    }
    // A copy by somebody else.
    expect(await publish("bob/main", byCi[0] ?? EVIL)).toBe(201);
  });

  const all = async (body: object, as = boss) => {
    const { status, json } = await as("POST", "/admin/quarantine", { reason: "leaked token", ...body });
    return { status, ...(json as { files?: number; channels?: ChannelReport[]; detail?: string }) };
  };
  const releaseAll = async (body: object, as = boss) => {
    const { status, json } = await as("POST", "/admin/release", body);
    return { status, ...(json as { files?: number; channels?: ChannelReport[]; detail?: string }) };
  };
  const held = async (): Promise<string[]> => {
    const rows = await statements.all(
      "SELECT file_name, channel.name FROM package_file JOIN channel ON channel.id = channel_id WHERE state = 'quarantined' ORDER BY 1, 2",
    );
    return rows.map((row) => `${String(row["name"])}/${String(row["file_name"]).split("-1-")[0]}`);
  };
  const etagsOf = async () =>
    await Promise.all(
      CHANNELS.map(async (label) =>
        (await server.as("boss").get(`/${label}/noarch/repodata.json`)).headers.get("etag"),
      ),
    );

  test("by a token takes all that it published, and copies of it by others, and nothing else; a release restores all", async () => {
    const before = await etagsOf();
    const { status, files, channels } = await all({ token: ci });
    expect([status, files]).toEqual([200, 3]);
    expect(channels?.map(({ channel, files: count }) => [channel, count])).toEqual([
      ["alice/main", 2],
      ["bob/main", 1],
    ]);
    expect(await held()).toEqual(["main/ci-one", "main/ci-one", "main/ci-two"]);
    for (const label of CHANNELS) {
      const index = await server.as("boss").get(`/${label}/noarch/repodata.json`);
      const listed = Object.keys((await jsonOf<{ "packages.conda": object }>(index))["packages.conda"]);
      expect([label, listed.sort()]).toEqual([label, [EVIL.fileName, GOOD.fileName]]);
    }
    const events = await statements.all("SELECT * FROM audit_event WHERE refusal IS NULL ORDER BY id DESC LIMIT 3");
    expect(events.map(({ action, actor }) => [action, actor])).toEqual(
      Array.from({ length: 3 }, () => ["quarantine", "boss"]),
    );
    const revisions = events.map(({ detail }) => (JSON.parse(String(detail)) as { revision: number }).revision);
    expect(new Set(revisions)).toEqual(new Set(channels?.map(({ revision }) => revision ?? 0)));
    expect(await etagsOf()).not.toEqual(before);
    expect((await all({ token: ci })).files).toBe(0);
    const released = await releaseAll({ token: ci });
    expect([released.status, released.files]).toEqual([200, 3]);
    expect([await held(), await etagsOf()]).toEqual([[], before]);
  });

  test("since a time takes only what was published then, with its copies", async () => {
    expect((await all({ token: ci, since: between })).files).toBe(1);
    expect(await held()).toEqual(["main/ci-two"]);
    expect((await releaseAll({ token: ci, since: between })).files).toBe(1);
  });

  test("by a user takes what was published with its password and with its tokens", async () => {
    expect((await all({ user: "alice", dry_run: true })).channels).toEqual([
      { channel: "alice/main", files: 4, revision: null },
      { channel: "alice/secret", files: 2, revision: null },
      { channel: "bob/main", files: 3, revision: null },
    ]);
    expect(await held()).toEqual([]);
    expect((await all({ user: "bob", since: "2999-01-01T00:00:00Z" })).files).toBe(0);
  });

  test("by its bytes takes each copy, and a release of one file leaves the others", async () => {
    expect((await all({ sha256: EVIL.sha256 })).files).toBe(3);
    expect([await statuses(), await statuses(GOOD)]).toEqual([
      [403, 403, 403],
      [200, 200, 200],
    ]);
    expect(await release(boss, "bob/main")).toBe(200);
    expect(await statuses()).toEqual([403, 403, 200]);
    expect((await releaseAll({ sha256: EVIL.sha256 })).files).toBe(2);
    expect((await all({ sha256: "0".repeat(64) })).files).toBe(0);
  });

  test("is listed, page by page, for administrators alone", async () => {
    await all({ sha256: EVIL.sha256 });
    const items: unknown[] = [];
    let cursor = "";
    do {
      const page = (await boss("GET", `/admin/quarantine?limit=1${cursor}`)).json as {
        items: unknown[];
        next: string | null;
      };
      expect(page.items.length).toBe(1);
      items.push(...page.items);
      cursor = page.next === null ? "" : `&cursor=${page.next}`;
    } while (cursor !== "");
    const expected = {
      subdir: "noarch",
      file: EVIL.fileName,
      sha256: EVIL.sha256,
      reason: "leaked token",
      scope: "server",
    };
    expect(items).toEqual(
      CHANNELS.map((channel) => ({ channel, ...expected, since: expect.stringMatching(/^20\d\d-.*Z$/) })),
    );
  });

  test("is for administrators alone", async () => {
    for (const [name, status] of [
      ["anonymous", 401],
      ["stranger", 403],
      ["alice", 403],
      ["maintainer", 403],
      ["to delete", 403],
      ["of an administrator to delete", 403],
    ] as const) {
      const client = clientOf(name);
      const seen = [
        (await all({ sha256: EVIL.sha256 }, client)).status,
        (await releaseAll({ sha256: EVIL.sha256 }, client)).status,
        (await client("GET", "/admin/quarantine")).status,
      ];
      expect([name, ...seen]).toEqual([name, status, status, status]);
    }
    expect(await statuses()).toEqual([200, 200, 200]);
  });

  test.each([
    [{}, 422],
    [{ token: 1, user: "alice" }, 422],
    [{ sha256: "abc" }, 422],
    [{ sha256: "A".repeat(64) }, 422],
    [{ user: "nobody" }, 404],
    [{ token: 0 }, 422],
    [{ sha256: "0".repeat(64), since: "yesterday" }, 422],
    [{ sha256: "0".repeat(64), reason: " " }, 422],
  ])("refuses %j", async (body, status) => {
    expect((await all(body)).status).toBe(status);
    expect(await held()).toEqual([]);
  });

  test("of more than 10,000 files of a channel changes nothing and says how to narrow it; 10,000 are one revision", async () => {
    await server.manage.channels.create({ owner: "bob", channel: "many" }, {});
    const seed = buildPackage({ name: "seed", version: "1" });
    expect(await publish("bob/many", seed)).toBe(201);
    const columns =
      "version_id, channel_id, blob_id, section, package_name, record, metadata, publisher_id, published_by";
    await statements.all(
      `INSERT INTO package_file (${columns}, file_name, file_name_folded, published_at)
       WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
       SELECT ${columns}, 'seed-' || i, 'seed-' || i, i FROM n, package_file WHERE file_name = '${seed.fileName}'`,
    );
    const refused = await all({ sha256: seed.sha256 });
    expect([refused.status, refused.detail]).toEqual([
      422,
      expect.stringMatching(/bob\/many has 10001 such files.*since/),
    ]);
    expect(await held()).toEqual([]);
    await statements.all("DELETE FROM package_file WHERE file_name = 'seed-1'");
    const started = performance.now();
    const { files, channels } = await all({ sha256: seed.sha256 });
    const seconds = (performance.now() - started) / 1000;
    expect([files, channels?.map(({ revision }) => revision), seconds < 30]).toEqual([10_000, [2], true]);
    expect(await statements.count("SELECT count(*) FROM audit_event WHERE target LIKE 'bob/many/noarch/seed-%'")).toBe(
      10_001,
    );
    expect((await releaseAll({ sha256: seed.sha256 })).files).toBe(10_000);
    await server.manage.channels.remove({ owner: "bob", channel: "many" }, { withFiles: true });
  });

  test("that ends halfway keeps the channels that it has changed, and is completed by another", async () => {
    const seed = buildPackage({ name: "spread", version: "1" });
    const labels = Array.from({ length: 52 }, (_, at) => `bob/s${at}`);
    for (const label of labels) expect(await publish(label, seed)).toBe(201);
    const last = await statements.count("SELECT id FROM channel WHERE name = 's51'");
    const allow = await refuseAuditOf(last);
    expect((await all({ sha256: seed.sha256 })).status).toBe(500);
    expect((await held()).length).toBe(50);
    await allow();
    const { files, channels } = await all({ sha256: seed.sha256 });
    expect([files, channels?.map(({ channel }) => channel)]).toEqual([2, ["bob/s50", "bob/s51"]]);
    expect((await held()).length).toBe(52);
    expect((await releaseAll({ sha256: seed.sha256 })).files).toBe(52);
  });

  async function refuseAuditOf(channelId: number): Promise<() => Promise<void>> {
    return await statements.refuseAudit(`NEW.channel_id = ${channelId}`);
  }
});
