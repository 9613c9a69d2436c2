// Migrations of PostgreSQL: they may take long, other servers wait for them, and they do not wait long for a table.

import { SQL } from "bun";
import { describe, expect, test } from "bun:test";
import { openDatabase } from "../../src/models/open-database.ts";
import { LOCKS } from "../../src/models/postgres/locks.ts";
import { systemClock } from "../../src/modules/clock.ts";
import { errorOf } from "../modules/error-of.ts";
import { sharedPostgres } from "../support/postgres.ts";

const open = (url: string) => openDatabase({ engine: "postgres", url }, { clock: systemClock, create: true });

/** Longer than every other statement may take, or wait for a lock. */
const LONG_SECONDS = 7;

/** A transaction of another program, which has run the statement. */
async function beside(url: string, statement: string): Promise<{ end(): Promise<void> }> {
  const sql = new SQL(url, { max: 1 });
  await sql.unsafe(`BEGIN; ${statement}`);
  return {
    end: async () => {
      await sql.unsafe("COMMIT");
      await sql.close();
    },
  };
}

async function tables(url: string): Promise<unknown[]> {
  const postgres = await sharedPostgres();
  return await postgres.asSuperuser(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
}

describe("a migration", () => {
  test("may take longer than any other statement", async () => {
    const postgres = await sharedPostgres();
    const url = await postgres.createDatabase();
    await postgres.asSuperuser(
      url,
      `CREATE FUNCTION linger() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
        IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE '%.package_file')
        THEN PERFORM pg_sleep(${LONG_SECONDS}); END IF; END $$;
      CREATE EVENT TRIGGER linger ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION linger()`,
    );
    const started = performance.now();
    const database = await open(url);
    expect(performance.now() - started).toBeGreaterThan(LONG_SECONDS * 1000);
    await database.close();
    expect(await tables(url)).toContainEqual({ tablename: "package_file" });
  });

  test("by another server is waited for", async () => {
    const postgres = await sharedPostgres();
    const url = await postgres.createDatabase();
    const other = await beside(url, `SELECT pg_advisory_xact_lock(${LOCKS.migration})`);
    let isOpen = false;
    const opening = open(url).then((database) => {
      isOpen = true;
      return database;
    });
    await Bun.sleep(LONG_SECONDS * 1000);
    expect(isOpen).toBe(false);
    await other.end();
    await (await opening).close();
  });

  test("does not wait long for a table that another program has locked, and changes nothing then", async () => {
    const postgres = await sharedPostgres();
    const url = await postgres.createDatabase();
    await (await open(url)).close();
    await postgres.asSuperuser(url, "DROP TABLE store; DELETE FROM schema_migration WHERE number = 5");
    const other = await beside(url, "LOCK TABLE schema_migration IN SHARE MODE");
    const started = performance.now();
    const error = await errorOf(open(url));
    expect(error).toMatchObject({ code: "unavailable", message: expect.stringContaining("Nothing was changed") });
    expect(performance.now() - started).toBeLessThan(6000);
    expect(await tables(url)).not.toContainEqual({ tablename: "store" });
    await other.end();
    await (await open(url)).close();
    expect(await tables(url)).toContainEqual({ tablename: "store" });
  });

  test("that is not needed does not wait for the one of another server", async () => {
    const postgres = await sharedPostgres();
    const url = await postgres.createDatabase();
    await (await open(url)).close();
    const other = await beside(url, `SELECT pg_advisory_xact_lock(${LOCKS.migration})`);
    const started = performance.now();
    await (await open(url)).close();
    expect(performance.now() - started).toBeLessThan(3000);
    await other.end();
  });
});
