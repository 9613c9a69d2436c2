// Reads complete tables of PostgreSQL as engine-neutral rows, and fills an empty database with such rows.

import { malformed, usage } from "../../errors.ts";
import { quoted, TABLES, tablesInOrder, theTable } from "../table-rows.ts";
import type { Moment, Table, TableRow, TableSource } from "../table-rows.ts";
import type { Client } from "./client.ts";
import { faultOf, toOpenError } from "./errors.ts";
import { LOCKS } from "./locks.ts";
import { longTransaction, type Ending, type LongTransaction } from "./long-transaction.ts";
import { createTables, isEmpty } from "./migrations.ts";
import { requireServer } from "./server.ts";
import { shownUrl } from "./url.ts";

/** A page has at most these rows, and no row after these bytes of text. */
const PAGE_ROWS = 500;
const PAGE_BYTES = 4 * 1024 ** 2;

/** Runs `work` on one snapshot. Errors: what `work` throws; `unavailable`. */
export async function postgresMoment<T>(url: string, work: (moment: Moment) => Promise<T>): Promise<T> {
  const begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
  return await longTransaction({ url, begin }, async ({ client, reader }) => {
    const [row] = await client.unsafe("SELECT max(number)::int FROM schema_migration").values();
    return { isKept: false, value: await work({ reader, source: sourceOf(client, Number(row?.[0])) }) };
  });
}

function sourceOf(client: Client, schema: number): TableSource {
  return {
    schema,
    tables: [...TABLES.keys()].sort(),
    rows: (name) => rowsOf(client, name),
    lastId: async (name) => {
      if (!hasIds(theTable(name))) return undefined;
      const [row] = await client.unsafe(`SELECT pg_sequence_last_value(${sequenceOf(name)})`).values();
      return row?.[0] === null || row?.[0] === undefined ? undefined : Number(row[0]);
    },
  };
}

async function* rowsOf(client: Client, name: string): AsyncGenerator<TableRow, void, undefined> {
  const table = theTable(name);
  let last: readonly unknown[] | undefined;
  do {
    const page: unknown[][] = await client.unsafe(pageQuery(name, table, last !== undefined), last ?? []).values();
    for (const values of page) yield toRow(table, values);
    const values = page.at(-1);
    last = values && table.key.map((column) => values[table.columns.indexOf(column)]);
  } while (last !== undefined);
}

/** The server measures a page before it sends it: a row can be as large as a package has files. */
function pageQuery(name: string, { columns, key, booleans, integers }: Table, isFurther: boolean): string {
  const [all, order] = [columns, key].map((names) => names.map(quoted).join(", "));
  const texts = columns.filter((column) => !booleans.has(column) && !integers.has(column));
  const size = ["0", ...texts.map((column) => `coalesce(octet_length(${quoted(column)}), 0)`)].join(" + ");
  const after = isFurther ? `WHERE (${order}) > (${key.map((_, at) => `$${at + 1}`).join(", ")})` : "";
  return `SELECT ${all} FROM (
    SELECT *, sum(row_size) OVER (ORDER BY ${order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS size_before
    FROM (SELECT ${all}, ${size} AS row_size FROM ${quoted(name)} ${after} ORDER BY ${order} LIMIT ${PAGE_ROWS}) AS page
  ) AS measured WHERE coalesce(size_before, 0) < ${PAGE_BYTES} ORDER BY ${order}`;
}

/** The driver gives integers of 64 bits as text. */
function toRow({ columns, integers }: Table, values: readonly unknown[]): TableRow {
  const entries = columns.map((name, at) => {
    const value = values[at];
    if (typeof value === "string") return [name, integers.has(name) ? Number(value) : value] as const;
    if (value === null || typeof value === "boolean" || typeof value === "number") return [name, value] as const;
    throw new Error(`the database returned a ${typeof value} for ${name}`);
  });
  return Object.fromEntries(entries);
}

/** Errors: `usage` when the database has tables; `unavailable`, with a remedy, when it cannot be used. */
export async function requireEmpty(url: string): Promise<void> {
  try {
    await longTransaction({ url, begin: "BEGIN READ ONLY" }, async ({ client }) => {
      await requireServer(client);
      if (!(await isEmpty(client))) throw notEmpty(url);
      return { isKept: false, value: undefined };
    });
  } catch (error) {
    throw toOpenError(error, shownUrl(url));
  }
}

function notEmpty(url: string): Error {
  return usage(
    `The database ${shownUrl(url)} is not empty, so nothing was restored. Create an empty one, or set another --database.`,
  );
}

export type Filling = {
  readonly url: string;
  readonly source: TableSource;
  /** ms UTC: when the schema is said to have been created. */
  readonly now: number;
  readonly onProgress: (done: number, total: number) => void;
};

/**
 * Creates the tables and fills them, in one transaction, in which `work` decides whether they are kept: until then, the
 * database is empty for everybody else. Servers that start meanwhile wait, and give up.
 * Errors: what `work` throws; `usage` for a database that is not empty; `malformed` for a row that it cannot hold.
 */
export async function fillDatabase<T>(
  filling: Filling,
  work: (reader: LongTransaction["reader"]) => Promise<Ending<T>>,
): Promise<T> {
  const { url, source, now, onProgress } = filling;
  return await longTransaction({ url, begin: "BEGIN" }, async ({ client, reader }) => {
    await client.unsafe(`SELECT pg_advisory_xact_lock(${LOCKS.migration})`);
    if (!(await isEmpty(client))) throw notEmpty(url);
    await createTables(client, now);
    await withoutCounting(client, async () => {
      const names = tablesInOrder();
      for (const [at, name] of names.entries()) {
        onProgress(at, names.length);
        await fillTable(client, source, name);
      }
    });
    return await work(reader);
  });
}

/** A trigger would update the same row again and again, which takes longer each time within a transaction. */
async function withoutCounting(client: Client, work: () => Promise<void>): Promise<void> {
  const counted = ["package_file", "package_blob"];
  for (const name of counted) await client.unsafe(`ALTER TABLE ${name} DISABLE TRIGGER USER`);
  await work();
  for (const name of counted) await client.unsafe(`ALTER TABLE ${name} ENABLE TRIGGER USER`);
  await client.unsafe(`UPDATE stored_total SET files = (SELECT count(*) FROM package_file),
    blobs = (SELECT count(*) FROM package_blob), bytes = (SELECT coalesce(sum(size), 0) FROM package_blob) WHERE id = 0`);
}

async function fillTable(client: Client, source: TableSource, name: string): Promise<void> {
  let lines: string[] = [];
  let length = 0;
  const flush = async (): Promise<void> => {
    if (lines.length > 0) await insertRows(client, name, lines);
    [lines, length] = [[], 0];
  };
  for await (const row of source.rows(name)) {
    const line = JSON.stringify(row);
    lines.push(line);
    length += line.length;
    if (lines.length >= PAGE_ROWS || length >= PAGE_BYTES) await flush();
  }
  await flush();
  const lastId = await source.lastId(name);
  if (lastId !== undefined)
    await client.unsafe(
      `SELECT setval(${sequenceOf(name)}, greatest($1::bigint, (SELECT max(id) FROM ${quoted(name)})))`,
      [lastId],
    );
  // The plans of the queries that follow depend on it.
  await client.unsafe(`ANALYZE ${quoted(name)}`);
}

/** As one text, because the driver would write JSON as a JSON string. */
async function insertRows(client: Client, name: string, rows: readonly string[]): Promise<void> {
  const columns = theTable(name).columns.map(quoted).join(", ");
  const query = `INSERT INTO ${quoted(name)} (${columns}) SELECT ${columns} FROM json_populate_recordset(NULL::${quoted(name)}, $1::text::json)`;
  try {
    await client.unsafe(query, [`[${rows.join(",")}]`]);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw malformed(
      `PostgreSQL cannot store a row of ${name}: ${error instanceof Error ? error.message : String(error)}.`,
    );
  }
}

/** Whether it is about the values: data exceptions, and violated constraints. */
function isRefusal(error: unknown): boolean {
  const fault = faultOf(error);
  return fault?.kind === "server" && /^2[23]/.test(fault.state);
}

/** Tables with ids that are never used again. */
function hasIds({ key, integers }: Table): boolean {
  return key.length === 1 && key[0] === "id" && integers.has("id");
}

function sequenceOf(name: string): string {
  return `pg_get_serial_sequence('${quoted(name)}', 'id')::regclass`;
}
