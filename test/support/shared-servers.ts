// One PostgreSQL and one S3 service for the test processes of a whole run.

import { POSTGRES_VARIABLE, sharedPostgres } from "./postgres.ts";
import { sharedVersitygw, VERSITYGW_VARIABLE } from "./versitygw.ts";

/** Starts both; they end with this process. Returns the environment of a test process that uses them. */
export async function startSharedServers(engines: string): Promise<Record<string, string | undefined>> {
  const [postgres, versitygw] = await Promise.all([sharedPostgres(), sharedVersitygw()]);
  return {
    ...process.env,
    CONDARIUM_TEST_ENGINES: engines,
    [POSTGRES_VARIABLE]: `${postgres.port}`,
    [VERSITYGW_VARIABLE]: `${versitygw.endpoint} ${versitygw.room}`,
  };
}
