// The private PostgreSQL server of the tests.

import { SQL } from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { hasPostgres, sharedPostgres, startPostgres, type Postgres } from "./postgres.ts";

describe.skipIf(!hasPostgres("the private PostgreSQL server"))("the private PostgreSQL server", () => {
  let server: Postgres;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server.close());

  test("sorts by another order than that of bytes, unless told to", async () => {
    await using sql = new SQL(await server.createDatabase(), { max: 1 });
    const words = sql`SELECT string_agg(x, ' ' ORDER BY x) AS own, string_agg(x, ' ' ORDER BY x COLLATE "C") AS bytes
      FROM (VALUES ('b'), ('_'), ('B'), ('a')) AS words(x)`;
    expect([...(await words)]).toEqual([{ own: "_ a b B", bytes: "B _ a b" }]);
  });

  test("gives each database to a user that is no superuser, and can copy one", async () => {
    const first = await server.createDatabase();
    await run(first, "CREATE TABLE things (id integer PRIMARY KEY)", "INSERT INTO things VALUES (7)");
    const copy = await server.createDatabase(first);
    await run(copy, "INSERT INTO things VALUES (8)");
    expect(await run(copy, "SELECT id FROM things ORDER BY id")).toEqual([{ id: 7 }, { id: 8 }]);
    expect(await run(first, "SELECT id FROM things")).toEqual([{ id: 7 }]);
    expect(await run(first, "SELECT usesuper FROM pg_user WHERE usename = current_user")).toEqual([
      { usesuper: false },
    ]);
    expect(run(await server.createDatabase(), "SELECT id FROM things")).rejects.toThrow("does not exist");
  });

  test("has all that was committed after a restart, a crash and SIGKILL, at the same address", async () => {
    const url = await server.createDatabase();
    await run(url, "CREATE TABLE things (id integer)");
    const stops = [server.restart, () => server.stop("immediate"), server.kill];
    for (const [id, stop] of stops.entries()) {
      await run(url, `INSERT INTO things VALUES (${id})`);
      await stop();
      if (id > 0) expect(run(url, "SELECT 1")).rejects.toThrow();
      await server.start();
    }
    expect(await run(url, "SELECT id FROM things ORDER BY id")).toEqual([{ id: 0 }, { id: 1 }, { id: 2 }]);
  });

  test("counts and cuts the connections of one database, and of no other", async () => {
    const [url, other] = [await server.createDatabase(), await server.createDatabase()];
    await using one = new SQL(url, { max: 1 });
    await using two = new SQL(other, { max: 1 });
    const pid = async (sql: SQL) => ((await sql`SELECT pg_backend_pid() AS pid`) as { pid: number }[])[0]?.pid;
    const [before, beside] = [await pid(one), await pid(two)];
    expect([await server.connectionCount(url), await server.connectionCount(other)]).toEqual([1, 1]);
    await server.terminateConnections(url);
    expect([await server.connectionCount(url), await server.connectionCount(other)]).toEqual([0, 1]);
    expect(await pid(one)).not.toBe(before);
    expect(await pid(two)).toBe(beside);
  });

  test("refuses writing to one database until that ends", async () => {
    const [url, other] = [await server.createDatabase(), await server.createDatabase()];
    await server.setReadOnly(url, true);
    expect(run(url, "CREATE TABLE things (id integer)")).rejects.toMatchObject({ errno: "25006" });
    await run(other, "CREATE TABLE things (id integer)");
    expect(await run(url, "SELECT 1 AS one")).toEqual([{ one: 1 }]);
    await server.setReadOnly(url, false);
    await run(url, "CREATE TABLE things (id integer)");
  });

  test("keeps silent while it is frozen, and goes on after that", async () => {
    const url = await server.createDatabase();
    await using sql = new SQL(url, { max: 1 });
    await sql`SELECT 1`;
    server.freeze();
    const answer = sql`SELECT 1 AS one`.execute();
    expect(await Promise.race([answer, Bun.sleep(300).then(() => "silence")])).toBe("silence");
    server.thaw();
    expect([...(await answer)]).toEqual([{ one: 1 }]);
    server.freeze();
    await server.restart();
    expect(await run(url, "SELECT 2 AS two")).toEqual([{ two: 2 }]);
  });

  test("can be one for the whole process", async () => {
    const [one, two] = await Promise.all([sharedPostgres(), sharedPostgres()]);
    expect(one).toBe(two);
    expect(one.port).not.toBe(server.port);
    await run(await two.createDatabase(), "CREATE TABLE things (id integer)");
  });

  test("runs SQL as superuser in a database", async () => {
    const url = await server.createDatabase();
    const rows = await server.asSuperuser(url, "SELECT current_database() AS name, current_user AS role");
    expect(rows).toEqual([{ name: new URL(url).pathname.slice(1), role: "postgres" }]);
  });
});

async function run(url: string, ...statements: string[]): Promise<unknown[]> {
  await using sql = new SQL(url, { max: 1 });
  let rows: unknown[] = [];
  for (const statement of statements) rows = [...((await sql.unsafe(statement)) as unknown[])];
  return rows;
}
