// The parts of a move that a small registry does not show: long pauses, many pages, large rows.

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { longTransaction } from "../../../src/models/postgres/long-transaction.ts";
import { fillDatabase, postgresMoment } from "../../../src/models/postgres/table-rows.ts";
import { SCHEMA_NUMBER } from "../../../src/models/sqlite/migrations.ts";
import { createTableTarget, openTableSource } from "../../../src/models/sqlite/table-rows.ts";
import type { TableRow, TableSource } from "../../../src/models/table-rows.ts";
import { hasPostgres, sharedPostgres, type SharedPostgres } from "../../support/postgres.ts";

const isHere = hasPostgres("long transactions and pages of PostgreSQL");

let postgres: SharedPostgres;
let url: string;
let room: string;
beforeEach(async () => {
  postgres = await sharedPostgres();
  url = await postgres.createDatabase();
  room = await mkdtemp(join(tmpdir(), "condarium-whole-"));
});
afterEach(() => rm(room, { recursive: true, force: true }));

describe.skipIf(!isHere)("a long transaction", () => {
  const begin = "BEGIN";
  const names = async (): Promise<unknown[]> =>
    (await postgres.asSuperuser(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).map(
      ({ tablename }) => tablename,
    );

  test("outlives pauses that are longer than the server waits", async () => {
    await longTransaction({ url, begin, idleMs: 400 }, async ({ client }) => {
      await client.unsafe("CREATE TABLE kept (id int)");
      await Bun.sleep(1500);
      await client.unsafe("INSERT INTO kept VALUES (1)");
      const [row] = await client.unsafe("SHOW idle_in_transaction_session_timeout").values();
      expect(row).toEqual(["400ms"]);
      return { isKept: true, value: undefined };
    });
    expect(await names()).toEqual(["kept"]);
  });

  test("keeps nothing of work that fails or decides so, and leaves no connection", async () => {
    const dropped = longTransaction({ url, begin }, async ({ client }) => {
      await client.unsafe("CREATE TABLE dropped (id int)");
      return { isKept: false, value: "answer" };
    });
    expect(await dropped).toBe("answer");
    const failed = longTransaction({ url, begin }, async ({ client }) => {
      await client.unsafe("CREATE TABLE dropped (id int)");
      throw new Error("the work failed");
    });
    expect(failed).rejects.toThrow("the work failed");
    expect(await names()).toEqual([]);
    while ((await postgres.connectionCount(url)) > 0) await Bun.sleep(20);
  });
});

describe.skipIf(!isHere)("the rows of PostgreSQL", () => {
  const MIB = 1024 ** 2;
  const REVISIONS: TableRow[] = Array.from({ length: 1203 }, (_, at) => ({
    channel_id: 7,
    revision: at + 1,
    identity: `i${at}`,
    at: 4_102_444_800_000 + at,
    actor_id: at % 2 === 0 ? null : at,
  }));
  /** Keys that a locale would order in another way. */
  const BUCKETS: TableRow[] = ["B", "a", "Z", "_", "é", "z", "中", "🐍", "\uFFFD", "A b", "A-b", "Ab"].map(
    (bucket) => ({
      bucket,
      window_start: 0,
      failures: 2,
    }),
  );
  const EVENTS: TableRow[] = Array.from({ length: 9 }, (_, at) => ({
    id: 10 * at + 1,
    at: 1,
    actor: "",
    actor_id: null,
    token_id: null,
    action: "a",
    owner_id: null,
    channel_id: null,
    target: "",
    subject: "s",
    outcome: "done",
    detail: `${at}`.repeat(3 * MIB),
    request_id: null,
    address: null,
  }));

  test("come in bounded pages, by bytes, equal to those of SQLite", async () => {
    const path = join(room, "rows.db");
    const target = createTableTarget(path, 4, 0);
    target.insert("owner", [
      {
        id: 3,
        kind: "user",
        name: "o",
        display_name: "",
        visibility: "public",
        disabled: true,
        hidden: false,
        created: 1,
      },
    ]);
    target.insert("channel", [
      {
        id: 7,
        owner_id: 3,
        type: "conda",
        name: "c",
        visibility: null,
        revision: 1203,
        policy: "{}",
        description: "",
        created: 1,
      },
    ]);
    target.insert("channel_revision", REVISIONS);
    target.insert("login_failure", BUCKETS);
    target.insert("audit_event", EVENTS);
    target.setLastId("channel", 70);
    expect(target.finish(0)).toEqual([]);
    target.close();
    const source = openTableSource(path);
    const expected = await contentOf(source);
    await fillDatabase({ url, source, now: 0, onProgress: () => {} }, async () => ({ isKept: true, value: undefined }));
    source.close();
    // Moves rows behind others, out of the order of their keys.
    await postgres.asSuperuser(url, "UPDATE channel_revision SET at = at WHERE revision % 2 = 0");
    expect(await postgresMoment(url, ({ source: found }) => contentOf(found))).toEqual(expected);
    expect(expected["channel"]?.lastId).toBe(70);
    expect(expected["channel_revision"]?.rows).toEqual(REVISIONS);
    expect(expected["owner"]?.rows[0]).toMatchObject({ disabled: true, hidden: false });
    const sizes = await pagesOf("audit_event");
    expect(sizes.length).toBeGreaterThan(3);
    expect(Math.max(...sizes)).toBeLessThan(8 * MIB);
  });

  test("are those of one moment", async () => {
    await fillDatabase({ url, source: none, now: 0, onProgress: () => {} }, async () => ({ isKept: true, value: 0 }));
    const insert = (id: number): Promise<unknown> =>
      postgres.asSuperuser(url, `INSERT INTO principal (id, kind) VALUES (${id}, 'user')`);
    await insert(1);
    await postgresMoment(url, async ({ source }) => {
      expect(source.schema).toBe(SCHEMA_NUMBER);
      await insert(2);
      expect(await rowsOf(source, "principal")).toEqual([{ id: 1, kind: "user" }]);
    });
  });

  /** Characters that each statement has brought: the server says when the latest one began. */
  async function pagesOf(table: string): Promise<number[]> {
    const latest = `SELECT query_start::text AS at FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`;
    return await postgresMoment(url, async ({ source }) => {
      const sizes = new Map<unknown, number>();
      for await (const row of source.rows(table)) {
        const [{ at } = {}] = await postgres.asSuperuser(url, latest);
        sizes.set(at, (sizes.get(at) ?? 0) + String(row["detail"]).length);
      }
      return [...sizes.values()];
    });
  }
});

const none: TableSource = { schema: 4, tables: [], rows: () => [], lastId: () => undefined };

async function rowsOf(source: TableSource, name: string): Promise<TableRow[]> {
  const rows: TableRow[] = [];
  for await (const row of source.rows(name)) rows.push(row);
  return rows;
}

type Content = Record<string, { readonly rows: readonly TableRow[]; readonly lastId: number | undefined }>;

async function contentOf(source: TableSource): Promise<Content> {
  const content: Content = {};
  for (const name of source.tables)
    content[name] = { rows: await rowsOf(source, name), lastId: await source.lastId(name) };
  return content;
}
