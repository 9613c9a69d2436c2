// Two nodes on one PostgreSQL and one bucket: the short run of `bun run nightly nodes`.

import { Database as Connection } from "bun:sqlite";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { SCHEMA_NUMBER } from "../src/models/sqlite/migrations.ts";
import { haveClients } from "./e2e/clients.ts";
import { errorOf } from "./modules/error-of.ts";
import { shardHashes, shardIndexOf } from "./support/documents.ts";
import { OWNER } from "./support/faulted/load.ts";
import { nodeProblems, runNodeFaults } from "./support/faulted/node-faults.ts";
import { differences } from "./support/faulted/same-documents.ts";
import { addUser, createRegistry, startTwoNodes, type Node, type Registry } from "./support/nodes.ts";
import { buildPackage } from "./support/package-builder.ts";
import { hasPostgres } from "./support/postgres.ts";
import { readYourWrites } from "./support/read-your-writes.ts";
import { hasVersitygw } from "./support/versitygw.ts";

const DAY_MS = 24 * 60 * 60_000;
const SEED = Number(process.env["CONDARIUM_TEST_SEED"] ?? crypto.getRandomValues(new Uint16Array(1))[0]);
const canRun = hasPostgres("equal nodes") && hasVersitygw("equal nodes");

describe.skipIf(!canRun)("two nodes on one PostgreSQL and one bucket", () => {
  let registry: Registry;
  let nodes: readonly [Node, Node];
  let token: string;
  beforeAll(async () => {
    ({ registry, nodes, token } = await startTwoNodes(OWNER));
  });
  afterAll(() => registry.close());

  test("show on each what was acknowledged by the other, in every document, and never answer 304 to an old ETag", async () => {
    const urls = [nodes[0].url, nodes[1].url] as const;
    // Small channels, because each round has every document built.
    for (let at = 0; at < 10; at++) {
      const channel = `turns-${at}`;
      expect(await readYourWrites({ urls, owner: OWNER, channel, token, rounds: 20 })).toEqual([]);
      expect(await differences(urls.map((url) => `${url}/${OWNER}/${channel}`))).toEqual([]);
    }
  });

  test("lose nothing and give the same bytes while nodes and the database are killed under publishes", async () => {
    console.log(`CONDARIUM_TEST_SEED=${SEED} repeats the faults`);
    const ofRattlerBuild = (await haveClients()) ? 30 : 0;
    const sizes = { packages: 100, ofRattlerBuild, nodeKills: 3, databaseKills: 1 };
    const ledger = await runNodeFaults({ registry, nodes, token, seed: SEED, ...sizes });
    expect(await nodeProblems(nodes, ledger)).toEqual([]);
    // Faults that no client has met would prove nothing.
    const met = ["new 201", "publish 201", "new broken", ...(ofRattlerBuild > 0 ? ["rattler-build 201"] : [])];
    expect(met.filter((answer) => !ledger.answers.has(answer))).toEqual([]);
  });

  test("one collects while the other waits, by the clock of the database", async () => {
    const until = (ms: number): string => `(extract(epoch from now()) * 1000)::bigint + ${ms}`;
    const lease = (ms: number) =>
      registry.postgres.asSuperuser(
        registry.database,
        `DELETE FROM lease WHERE name = 'collector'; INSERT INTO lease VALUES ('collector', 'another node', ${until(ms)})`,
      );
    const ahead = join(nodes[0].folder, "ahead.ts");
    await Bun.write(ahead, "const now = Date.now; Date.now = () => now() + 10 * 60_000;");
    await lease(5 * 60_000);
    for (const environment of [{}, { BUN_OPTIONS: `--preload ${ahead}` }])
      expect(await nodes[0].run(["gc"], undefined, environment)).toContain("because another collector is running");
    await lease(-1);
    expect(await nodes[1].run(["gc"])).not.toContain("Left for the next run");
    expect(await registry.postgres.asSuperuser(registry.database, "SELECT * FROM lease WHERE name <> 'node'")).toEqual(
      [],
    );
  });

  test("delete no shard that an index of any node has named in the last week", async () => {
    const [idle, busy] = nodes;
    const at = ({ url }: Node, path: string) => fetch(`${url}/${OWNER}/shards/noarch/${path}`);
    const publish = async (version: string): Promise<string> => {
      const built = buildPackage({ name: "one", version });
      const url = `${busy.url}/api/packages/${OWNER}/conda/shards/${built.fileName}`;
      const headers = { authorization: `Bearer ${token}` };
      expect((await fetch(url, { method: "PUT", headers, body: built.bytes.slice() })).status).toBe(201);
      return await indexOf(busy);
    };
    const indexOf = async (node: Node): Promise<string> =>
      shardHashes(shardIndexOf(await (await at(node, "repodata_shards.msgpack.zst")).bytes()))["one"] ?? "";
    const statuses = async (hash: string): Promise<number[]> =>
      await Promise.all(nodes.map(async (node) => (await at(node, `shards/${hash}.msgpack.zst`)).status));
    const pass = (ms: number): void => {
      const derived = new Connection(join(idle.folder, "index.db"));
      derived.run("UPDATE retired SET since = since - ?", [ms]);
      derived.close();
    };
    const collect = () => idle.run(["gc", "--grace", "0"]);
    const first = await publish("1");
    await collect();
    expect(await statuses(first)).toEqual([200, 200]);
    const second = await publish("2");
    expect(await indexOf(idle)).toBe(second);
    // Twice: the first run sees a shard that the node has never named, the second one lets its time begin.
    for (let runs = 0; runs < 2; runs++) await collect();
    pass(6 * DAY_MS);
    await collect();
    expect([await statuses(first), await statuses(second)]).toEqual([
      [200, 200],
      [200, 200],
    ]);
    pass(2 * DAY_MS);
    const third = await publish("3");
    await collect();
    expect([await statuses(first), await statuses(third)]).toEqual([
      [200, 200],
      [200, 200],
    ]);
    expect(await indexOf(idle)).toBe(third);
    await collect();
    expect([await statuses(first), await statuses(second), await statuses(third)]).toEqual([
      [404, 404],
      [200, 200],
      [200, 200],
    ]);
  });
});

describe.skipIf(!canRun)("a registry on PostgreSQL", () => {
  let registry: Registry;
  beforeEach(async () => {
    registry = await createRegistry();
  });
  afterEach(() => registry.close());
  const sql = (statement: string) => registry.postgres.asSuperuser(registry.database, statement);

  test("gets one administrator and one identity when two nodes start on nothing at the same moment", async () => {
    const nodes = await Promise.all([registry.addNode(), registry.addNode()]);
    const servers = await Promise.all(nodes.map((node) => node.start()));
    for (const { url } of nodes) expect((await fetch(`${url}/health/ready`)).status).toBe(200);
    expect(await sql('SELECT is_admin FROM "user"')).toEqual([{ is_admin: true }]);
    expect(servers.filter((server) => server.stdout().includes("password:"))).toHaveLength(1);
    const [identity] = await sql("SELECT id FROM store");
    expect(await sql("SELECT count(*)::int AS n FROM store")).toEqual([{ n: 1 }]);
    expect(await registry.object("store-id")).toBe(`${String(identity?.["id"])}\n`);
    const applied = Array.from({ length: SCHEMA_NUMBER - 3 }, (_, at) => ({ number: at + 4 }));
    expect(await sql("SELECT number::int FROM schema_migration ORDER BY 1")).toEqual(applied);
  });

  test("of a newer release is used if this one understands it, and otherwise refused without a change", async () => {
    const node = await registry.addNode();
    await node.start();
    const token = await addUser(node, OWNER);
    await node.end("SIGTERM");
    await sql("INSERT INTO schema_migration VALUES (99, 5, 0)");
    await node.start();
    const built = buildPackage({ name: "one", version: "1" });
    const url = `${node.url}/api/packages/${OWNER}/conda/main/${built.fileName}`;
    const headers = { authorization: `Bearer ${token}` };
    expect((await fetch(url, { method: "PUT", headers, body: built.bytes.slice() })).status).toBe(201);
    await node.end("SIGTERM");
    await sql("UPDATE schema_migration SET min_reader = 98 WHERE number = 99");
    const written = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next";
    const before = await sql(written);
    const refused = `The database needs a newer condarium: it requires schema 98, this binary supports ${SCHEMA_NUMBER}. Nothing was changed.`;
    for (const use of [() => node.start(), () => node.run(["user", "create", "bob"])])
      expect(String(await errorOf(use()))).toContain(refused);
    expect(await sql(written)).toEqual(before);
  });
});
