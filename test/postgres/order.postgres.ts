// Documents of PostgreSQL and of SQLite for the same packages: the same order, by bytes, and the same bytes.

import { Database as Connection } from "bun:sqlite";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { documentPaths } from "../support/documents.ts";
import { buildPackage } from "../support/package-builder.ts";
import { sharedPostgres } from "../support/postgres.ts";
import { startNode, type Node } from "../support/postgres-node.ts";

const NAMES = ["a", "_a", "a-b", "a_b", "a.b", "ab", "b", "_b"];
const BUILDS = ["B", "a", "_", "C0", "d0", "0"];

/** The times of a publish are in its documents. */
const SAME_TIMES = ["UPDATE package_file SET published_at = 1000", "UPDATE channel_revision SET at = 1000"];

test("a server whose locale sorts by language gives the documents of SQLite, byte for byte", async () => {
  const postgres = await sharedPostgres();
  const url = await postgres.createDatabase();
  const [order] = await postgres.asSuperuser(url, `SELECT 'B' < 'a' AS "byBytes", '_' < 'a' AS "isLow"`);
  expect(order?.["byBytes"]).toBe(false);
  await using onPostgres = await startNode(url);
  await using onSqlite = await startNode();
  const packages = [
    ...NAMES.map((name) => buildPackage({ name, version: "1" })),
    ...BUILDS.map((build) => buildPackage({ name: "same", version: "1", build })),
  ];
  for (const node of [onPostgres, onSqlite]) {
    await node.addUser();
    const isReversed = node === onSqlite;
    for (const built of isReversed ? packages.toReversed() : packages)
      expect([built.fileName, (await node.publish(built)).status]).toEqual([built.fileName, 201]);
  }
  for (const statement of SAME_TIMES) await postgres.asSuperuser(url, statement);
  const tables = new Connection(join(onSqlite.folder, "condarium.db"), { readwrite: true });
  tables.run("PRAGMA busy_timeout = 5000");
  for (const statement of SAME_TIMES) tables.run(statement);
  tables.close();
  const read = async (node: Node, path: string) => {
    const { status, etag, text } = await node.get(`/user/main/${path}`);
    return [path, status, etag, text];
  };
  for (const path of documentPaths("noarch")) {
    const expected = await read(onSqlite, path);
    expect(expected[1]).toBe(200);
    expect(await read(onPostgres, path)).toEqual(expected);
  }
  const { text } = await onPostgres.get("/user/main/noarch/repodata.json");
  const listed = Object.keys((JSON.parse(text) as { "packages.conda": object })["packages.conda"]);
  expect(listed.filter((name) => name.startsWith("same-"))).toEqual(
    BUILDS.map((build) => `same-1-${build}.conda`).sort(),
  );
});
