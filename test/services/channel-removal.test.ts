// Deleting a channel with its files: what goes, what stays, and that readers and other changes go on meanwhile.

import { Database as Connection } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { COMMAND_LINE } from "../../src/services/actor.ts";
import { jsonOf } from "../support/answers.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { documentPaths } from "../support/documents.ts";
import { contentFile, isOnSqlite } from "../support/engines.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage, type BuiltPackage } from "../support/package-builder.ts";
import { problemsOf } from "../support/problems.ts";
import { openTables, rowsIn, runOn, type Row } from "../support/rows.ts";
import { runHere } from "../support/run-here.ts";
import { blobKey } from "../../src/modules/storage/keys.ts";

let server: TestApp;
let ahead = 0;
const clock = { now: () => Date.now() + ahead, elapsed: () => performance.now() };
beforeEach(async () => {
  ahead = 0;
  server = await startTestApp({ clock });
  for (const name of ["alice", "bob"]) await server.addUser(name);
});
afterEach(() => server.close());

const MAIN = { owner: "alice", channel: "main" };
const [one, two, shared] = [
  buildPackage({ name: "one", version: "1" }),
  buildPackage({ name: "one", version: "2", subdir: "linux-64" }),
  buildPackage({ name: "shared", version: "1" }),
];
const sizes = (...all: readonly BuiltPackage[]): number => all.reduce((sum, { bytes }) => sum + bytes.length, 0);

async function publish(channel: string, ...packages: readonly BuiltPackage[]): Promise<void> {
  for (const built of packages) {
    const path = `/api/packages/alice/conda/${channel}/${built.fileName}`;
    expect((await server.as("alice").put(path, built.bytes)).status).toBe(201);
  }
}

async function fill(): Promise<void> {
  await publish("main", one, two, shared);
  await publish("other", shared);
  await server.manage.grants.set(MAIN, "bob", "publisher");
}

function rows(sql: string, ...values: (string | number)[]): Row[] {
  return rowsIn(server.folder, sql, ...values);
}

/** The tables of index.db that have rows of a channel. */
function indexRows(channelId: number): string[] {
  const index = new Connection(join(server.folder, "index.db"));
  const tables = index.query<{ name: string }, []>(
    "SELECT t.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c ON c.name = 'channel_id' WHERE t.type = 'table'",
  );
  const filled = tables.all().filter(({ name }) => {
    const query = index.query(`SELECT 1 FROM "${name}" WHERE channel_id = ? LIMIT 1`);
    return query.get(channelId) !== null;
  });
  index.close();
  return filled.map(({ name }) => name);
}

async function condarium(...args: string[]): Promise<{ code: number; out: string[]; err: string[] }> {
  const [out, err]: [string[], string[]] = [[], []];
  const output = {
    line: (text: string) => void out.push(text),
    note: (text: string) => void err.push(text),
    rows: () => {},
  };
  return { code: await runHere([...args, "--data", server.folder], output), out, err };
}

describe("channel delete, of a channel with files", () => {
  test("without --yes deletes nothing, says what would go, and prints the line to run", async () => {
    await fill();
    await newToken(server.manage, { user: "bob", name: "ci", channels: ["alice/main"] });
    await newToken(server.manage, { user: "bob", name: "wide", channels: ["alice/main", "alice/other"] });
    await newToken(server.manage, { user: "bob", name: "ended", channels: ["alice/main"] });
    await server.manage.tokens.revoke("bob", "ended");
    const tables = openTables(server.folder);
    const before = tables.dump();
    const asked = await condarium("channel", "delete", "alice/main");
    expect([asked.code, asked.out]).toEqual([2, []]);
    const text = asked.err.join("\n");
    expect(text).toContain(
      `alice/main has 3 files of 2 packages, ${sizes(one, two, shared)} bytes. Nothing was deleted.`,
    );
    expect(text).toContain("the roles of 1 users");
    expect(text).toMatch(/1 tokens stay valid .*: ci of bob\./);
    expect(text).not.toMatch(/wide|ended/);
    expect(asked.err.at(-1)).toBe(`To delete it: condarium channel delete alice/main --yes --data ${server.folder}`);
    expect(tables.dump()).toBe(before);
    tables.close();
    // The line that was printed works as it is.
    const line = (asked.err.at(-1) ?? "").replace("To delete it: condarium ", "").split(" ");
    expect(await runHere(line, { line: () => {}, note: () => {}, rows: () => {} })).toBe(0);
    expect(rows("SELECT name FROM channel")).toEqual([{ name: "other" }]);
  });

  test("with --yes deletes all of it, and nothing of other channels", async () => {
    await fill();
    const id = rows("SELECT id FROM channel WHERE name = 'main'")[0]?.id ?? 0;
    for (const path of documentPaths("noarch")) await server.anonymous.get(`/alice/main/${path}`);
    const deleted = await condarium("channel", "delete", "alice/main", "--yes");
    expect([deleted.code, deleted.err]).toEqual([
      0,
      [`Channel alice/main deleted: 3 files of 2 packages, ${sizes(one, two, shared)} bytes.`],
    ]);
    for (const path of ["noarch/repodata.json", `noarch/${one.fileName}`, `noarch/${shared.fileName}`]) {
      expect((await server.anonymous.get(`/alice/main/${path}`)).status).toBe(401);
      expect((await server.as("bob").get(`/alice/main/${path}`)).status).toBe(403);
      expect((await server.as("alice").get(`/alice/main/${path}`)).status).toBe(403);
    }
    expect((await server.anonymous.get(`/alice/other/noarch/${shared.fileName}`)).status).toBe(200);
    const tables = ["package_file", "package", "channel_revision", "index_part", '"grant"'];
    for (const table of tables) expect(rows(`SELECT * FROM ${table} WHERE channel_id = ?`, id)).toEqual([]);
    expect(rows("SELECT * FROM package_property WHERE ref_id NOT IN (SELECT id FROM package_file)")).toEqual([]);
    expect(rows("SELECT * FROM package_version WHERE package_id NOT IN (SELECT id FROM package)")).toEqual([]);
    // Contents wait for garbage collection, except those that another channel has.
    expect(rows("SELECT sha256 FROM package_blob WHERE unreferenced_at IS NULL")).toEqual([{ sha256: shared.sha256 }]);
    const names = rows("SELECT file_name_folded AS name, deleted_at FROM file_name_history WHERE channel_id = ?", id);
    expect(names.map(({ name }) => name).sort()).toEqual([one, two, shared].map(({ fileName }) => fileName).sort());
    expect(names.every(({ deleted_at: at }) => Number(at) > 0)).toBe(true);
    const others = rows("SELECT deleted_at FROM file_name_history WHERE channel_id <> ?", id);
    expect(others).toEqual([{ deleted_at: null }]);
    expect(await problemsOf(server, "deep")).toEqual([]);
  });

  test("is audited with its numbers, each step too", async () => {
    await fill();
    const numbers = { packages: 2, files: 3, bytes: sizes(one, two, shared) };
    expect(await server.app.channels.remove(COMMAND_LINE, MAIN, { withFiles: true })).toEqual(numbers);
    const [step, last] = rows("SELECT * FROM audit_event ORDER BY id DESC LIMIT 2").reverse();
    expect(step).toMatchObject({ action: "delete", target: "alice/main", actor: "command line" });
    expect(JSON.parse(String(step?.detail))).toEqual({ ...numbers, revision: 4 });
    expect(last).toMatchObject({ action: "channel.delete", target: "alice/main", actor: "command line" });
    expect(JSON.parse(String(last?.detail))).toEqual(numbers);
  });

  test("leaves its index data and contents to garbage collection, which deletes all of it", async () => {
    await fill();
    const id = Number(rows("SELECT id FROM channel WHERE name = 'main'")[0]?.id);
    for (const section of ["noarch", "linux-64"])
      for (const path of documentPaths(section)) await server.anonymous.get(`/alice/main/${path}`);
    const ofChannel = async (): Promise<string[]> =>
      (await server.storedFiles()).filter(
        (name) => name.startsWith(`derived/${id}/`) || name.startsWith(`shards/${id}/`),
      );
    expect(await ofChannel()).toHaveLength(3);
    expect(indexRows(id).length).toBeGreaterThan(2);
    expect((await condarium("channel", "delete", "alice/main", "--yes")).code).toBe(0);
    expect((await condarium("gc", "--grace", "0s")).code).toBe(0);
    expect(await ofChannel()).toEqual([]);
    const blob = ({ sha256 }: BuiltPackage): string => contentFile(server.folder, blobKey(sha256));
    expect([one, two, shared].map((built) => existsSync(blob(built)))).toEqual([false, false, true]);
    // The hashes of shards that clients may still know are forgotten after a week.
    expect(indexRows(id)).toEqual(["retired"]);
    // After two weeks where other nodes can have named them.
    ahead = (isOnSqlite ? 8 : 15) * 24 * 60 * 60 * 1000;
    await server.app.gc({ graceMs: 0 });
    expect(indexRows(id)).toEqual([]);
  });

  test("ends its roles, and a token bound to it reads a new channel of that name only", async () => {
    await fill();
    await server.manage.channels.change(MAIN, { visibility: "private" });
    const token = await newToken(server.manage, {
      user: "alice",
      name: "bound",
      scopes: ["write:package"],
      channels: ["alice/main"],
    });
    const read = async (actor: { get(path: string): Promise<Response> }, channel = "main"): Promise<number> =>
      (await actor.get(`/alice/${channel}/noarch/repodata.json`)).status;
    await server.manage.channels.change({ owner: "alice", channel: "other" }, { visibility: "private" });
    expect([await read(server.as("bob")), await read(server.withToken(token))]).toEqual([200, 200]);
    await server.manage.channels.remove(MAIN, { withFiles: true });
    expect([await read(server.as("bob")), await read(server.withToken(token))]).toEqual([403, 403]);
    expect(await read(server.withToken(token), "other")).toBe(403);
    await server.manage.channels.create(MAIN, { visibility: "private" });
    // The role ended with the old channel; the token is bound to the name.
    expect([await read(server.as("bob")), await read(server.withToken(token))]).toEqual([403, 200]);
    expect(await server.manage.grants.list(MAIN)).toEqual([]);
    expect(
      (await jsonOf<{ packages: object }>(await server.as("alice").get("/alice/main/noarch/repodata.json"))).packages,
    ).toEqual({});
  });

  test("is refused by the service unless files are meant, and by the command for what does not exist", async () => {
    await fill();
    const refused = await server.manage.channels.remove(MAIN).catch((error: { code: string }) => error.code);
    expect(refused).toBe("conflict");
    expect(rows("SELECT count(*) AS n FROM package_file")).toEqual([{ n: 4 }]);
    for (const name of ["alice/none", "nobody/main"]) {
      expect((await condarium("channel", "delete", name)).code).toBe(1);
      expect((await condarium("channel", "delete", name, "--yes")).code).toBe(1);
    }
    expect((await condarium("channel", "delete", "alice", "--yes")).code).toBe(2);
    expect(rows("SELECT count(*) AS n FROM package_file")).toEqual([{ n: 4 }]);
  });

  test("of generic packages works the same", async () => {
    const path = "/api/packages/alice/generic/tool/1/x";
    expect((await server.as("alice").put(path, new Uint8Array([1, 2, 3]))).status).toBe(201);
    const asked = await condarium("channel", "delete", "generic:alice/-");
    expect([asked.code, asked.err.at(-1)]).toEqual([
      2,
      `To delete it: condarium channel delete generic:alice/- --yes --data ${server.folder}`,
    ]);
    expect((await condarium("channel", "delete", "generic:alice/-", "--yes")).code).toBe(0);
    expect((await server.as("alice").get(path)).status).toBe(404);
    expect((await condarium("user", "delete", "alice")).code).toBe(0);
  });
});

describe("deleting a channel of several steps", () => {
  const FILES = 5_000;

  /** Copies the row of a published file, in one section and under a name for each ten. */
  async function multiply(count = FILES): Promise<void> {
    await publish("main", one);
    await publish("other", shared);
    const tables = openTables(server.folder);
    tables.run(
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count - 1})
       INSERT INTO package_file (version_id, channel_id, blob_id, section, file_name, file_name_folded, package_name, record, metadata, published_at)
       SELECT version_id, channel_id, blob_id, section, 'n' || (i / 10) || '-1-' || i || '.conda', 'n' || (i / 10) || '-1-' || i || '.conda',
         'n' || (i / 10), replace(record, '"one"', '"n' || (i / 10) || '"'), metadata, published_at
       FROM package_file, n WHERE section = 'noarch' AND package_name = 'one'`,
    );
    tables.close();
  }

  test("shows readers a consistent channel in between, lets others publish, and takes what arrives meanwhile", async () => {
    await multiply();
    const late = buildPackage({ name: "aaa-late", version: "1" });
    const beside = buildPackage({ name: "beside", version: "1" });
    const seen: number[] = [];
    let isDone = false;
    const removal = server.app.channels
      .remove(COMMAND_LINE, MAIN, { withFiles: true, onProgress: (done, total) => seen.push(done, total) })
      .finally(() => (isDone = true));
    while (seen.length === 0) await Bun.sleep(1);
    const [published, other] = await Promise.all([
      server.as("alice").put(`/api/packages/alice/conda/main/${late.fileName}`, late.bytes),
      server.as("alice").put(`/api/packages/alice/conda/other/${beside.fileName}`, beside.bytes),
    ]);
    expect([published.status, other.status, isDone]).toEqual([201, 201, false]);
    const totals = await removal;
    expect(totals).toMatchObject({ files: FILES + 1 });
    expect(seen.filter((_, at) => at % 2 === 0).length).toBeGreaterThan(2);
    expect(seen.filter((_, at) => at % 2 === 1).every((total) => total >= FILES)).toBe(true);
    expect((await server.as("alice").get("/alice/main/noarch/repodata.json")).status).toBe(403);
    expect((await server.anonymous.get(`/alice/other/noarch/${beside.fileName}`)).status).toBe(200);
    expect(rows("SELECT count(*) AS n FROM package_file")).toEqual([{ n: 2 }]);
    expect(rows("SELECT * FROM package_blob WHERE unreferenced_at IS NULL")).toHaveLength(2);
    expect(await problemsOf(server, "deep")).toEqual([]);
  });

  test("that stops halfway leaves a smaller channel that is intact, and the next attempt deletes the rest", async () => {
    await multiply();
    expect((await server.anonymous.get("/alice/main/noarch/repodata.json")).status).toBe(200);
    const stopping = {
      withFiles: true,
      onProgress: () => {
        throw new Error("stopped");
      },
    };
    const stopped = await server.app.channels
      .remove(COMMAND_LINE, MAIN, stopping)
      .catch((error: Error) => error.message);
    expect(stopped).toBe("stopped");
    const { n } = rows("SELECT count(*) AS n FROM package_file WHERE package_name <> 'shared'")[0] ?? {};
    expect(Number(n)).toBeWithin(1, FILES);
    const document = await server.anonymous.get("/alice/main/noarch/repodata.json");
    const { "packages.conda": listed } = await jsonOf<{ "packages.conda": object }>(document);
    expect(Object.keys(listed)).toHaveLength(Number(n));
    expect(rows("SELECT count(*) AS n FROM audit_event WHERE action = 'channel.delete'")).toEqual([{ n: 0 }]);
    expect(await server.app.channels.remove(COMMAND_LINE, MAIN, { withFiles: true })).toMatchObject({ files: n });
    expect(rows("SELECT name FROM channel")).toEqual([{ name: "other" }]);
  });

  test("stops when the channel was deleted and created again meanwhile", async () => {
    await multiply();
    const recreate = (): void => {
      const tables = openTables(server.folder);
      tables.run("UPDATE channel SET name = 'moved' WHERE name = 'main'");
      tables.run(
        "INSERT INTO channel (owner_id, type, name, created) SELECT owner_id, type, 'main', 0 FROM channel WHERE name = 'moved'",
      );
      tables.close();
    };
    const options = { withFiles: true, onProgress: recreate };
    const code = await server.app.channels
      .remove(COMMAND_LINE, MAIN, options)
      .catch((error: { code: string }) => error.code);
    expect(code).toBe("not-found");
    expect(rows("SELECT name FROM channel ORDER BY 1")).toEqual([
      { name: "main" },
      { name: "moved" },
      { name: "other" },
    ]);
  });

  test("with more revisions than one step deletes leaves none of them", async () => {
    await publish("main", one);
    const tables = openTables(server.folder);
    tables.run(
      `WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)
       INSERT INTO channel_revision (channel_id, revision, identity, at) SELECT channel_id, i, 'x' || i, at FROM channel_revision, n WHERE revision = 1`,
    );
    tables.run("UPDATE channel SET revision = 25000");
    tables.close();
    let steps = 0;
    await server.app.channels.remove(COMMAND_LINE, MAIN, { withFiles: true, onProgress: () => (steps += 1) });
    // One for the file, two for 10,000 revisions each, and the last one, which is not reported.
    expect(steps).toBe(3);
    expect(rows("SELECT count(*) AS n FROM channel_revision")).toEqual([{ n: 0 }]);
    expect(rows("SELECT count(*) AS n FROM channel")).toEqual([{ n: 0 }]);
  });

  test("takes fewer files in a step when their rows are large", async () => {
    await multiply(150);
    const metadata = JSON.stringify({ pad: "0".repeat(300_000) });
    runOn(server.folder, "UPDATE package_file SET metadata = ? WHERE section = 'noarch'", metadata);
    const seen: number[] = [];
    const onProgress = (done: number): void => void seen.push(done);
    await server.app.channels.remove(COMMAND_LINE, MAIN, { withFiles: true, onProgress });
    // 55 rows of 300,000 bytes stay within 16 MiB.
    expect(seen).toEqual([55, 110, 150]);
  });
});
