// What condarium needs of a PostgreSQL server, checked at start.

import { unavailable } from "../../errors.ts";
import type { Client } from "./client.ts";

const OLDEST_VERSION = 140_000;

/** Errors: `unavailable` with the setting to change. */
export async function requireServer(connection: Client): Promise<void> {
  const [row = []] = await connection
    .unsafe(
      `SELECT current_setting('server_version_num')::int, current_setting('server_version'), pg_is_in_recovery(),
        current_setting('server_encoding'), current_setting('synchronous_commit'),
        'B' COLLATE "C" < 'a' COLLATE "C" AND 'a' COLLATE "C" < 'b' COLLATE "C"`,
    )
    .values();
  const [number, version, isStandby, encoding, commit, isByBytes] = row;
  if (typeof number !== "number" || number < OLDEST_VERSION)
    throw refusal(`PostgreSQL ${String(version)} is too old: use 14 or newer`);
  if (isStandby === true) throw refusal("The database server is a standby: use the address of its primary");
  if (encoding !== "UTF8") throw refusal(`The database has the encoding ${String(encoding)}: create one with UTF8`);
  if (commit === "off")
    throw refusal("The database server acknowledges commits that it can lose: set synchronous_commit to on");
  if (isByBytes !== true) throw refusal('The collation "C" of the database does not compare bytes');
}

function refusal(problem: string): Error {
  return unavailable(`${problem}. Nothing was changed.`, 60);
}
