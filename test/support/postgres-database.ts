// Empty databases of PostgreSQL for tests of models, each opened by one or several servers of this process.

import { openDatabase } from "../../src/models/open-database.ts";
import type { Database } from "../../src/models/database.ts";
import { insertChannel } from "../../src/models/channel.ts";
import { insertOwner } from "../../src/models/owner.ts";
import { systemClock } from "../../src/modules/clock.ts";
import { sharedPostgres, type SharedPostgres } from "./postgres.ts";

export type OpenedDatabase = AsyncDisposable & {
  readonly postgres: SharedPostgres;
  readonly url: string;
  readonly database: Database;
  /** Another server of the same database, at another address of it if given. */
  openAnother(through?: string): Promise<Database>;
  /** Creates channels of one owner; returns their ids. */
  channels(...names: string[]): Promise<number[]>;
  /** Runs SQL beside the server. */
  sql(statement: string): Promise<Record<string, unknown>[]>;
};

export async function openEmpty(postgres?: SharedPostgres): Promise<OpenedDatabase> {
  const server = postgres ?? (await sharedPostgres());
  const url = await server.createDatabase();
  const opened: Database[] = [];
  const openAnother = async (through = url) => {
    const database = await openDatabase({ engine: "postgres", url: through }, { clock: systemClock, create: true });
    opened.push(database);
    return database;
  };
  const database = await openAnother();
  return {
    postgres: server,
    url,
    database,
    openAnother,
    channels: (...names) =>
      database.transact(async (tx) => {
        const { id: ownerId } = await insertOwner(tx, { kind: "user", name: "o", visibility: "public", created: 0 });
        const ids: number[] = [];
        for (const name of names)
          ids.push((await insertChannel(tx, { ownerId, type: "conda", name, visibility: null, created: 0 })).id);
        return ids;
      }),
    sql: (statement) => server.asSuperuser(url, statement),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(opened.map((each) => each.close()));
      const name = new URL(url).pathname.slice(1);
      await server.asSuperuser(server.url("postgres"), `DROP DATABASE ${name} WITH (FORCE)`);
    },
  };
}
