// One server per data folder: a lock on a small SQLite file. The kernel releases it when the process dies.

import { Database as Connection } from "bun:sqlite";
import { AppError, usage } from "../errors.ts";
import { isDatabaseBusy, isDatabaseDamaged } from "./sqlite/errors.ts";

export type FolderLock = {
  /**
   * From now on, processes of this server can join. They keep other servers out as well, even after this process has
   * died. Errors: `usage` when another server took the folder in between.
   */
  share(): void;
  release(): void;
};

/** The processes of a killed server end within this time. */
const ORPHANS_MS = 5000;

/** Waits for the end of processes whose server was killed. Errors: `usage` when another server holds the folder. */
export function lockFolder(path: string): FolderLock {
  const held = connect(path, (connection) => {
    // Fails at once while another server runs, shared or not.
    connection.run("BEGIN IMMEDIATE");
    connection.run("ROLLBACK");
    connection.run(`PRAGMA busy_timeout = ${ORPHANS_MS}`);
    connection.run("BEGIN EXCLUSIVE");
    connection.run("PRAGMA busy_timeout = 0");
  });
  return {
    share: () =>
      orRefuse(path, () => {
        held.run("ROLLBACK");
        held.run("BEGIN IMMEDIATE");
      }),
    release: () => held.close(),
  };
}

/** For a process of the server that shares its lock. Errors: `usage` when no server does. */
export function joinFolder(path: string): Pick<FolderLock, "release"> {
  const held = connect(path, (connection) => {
    if (isAlone(connection)) throw usage(`No server shares ${path}. Start one with: condarium serve --processes 2.`);
    connection.run("BEGIN");
    // A transaction takes its lock at the first read.
    connection.query("SELECT count(*) FROM sqlite_schema").get();
  });
  return { release: () => held.close() };
}

function isAlone(connection: Connection): boolean {
  try {
    connection.run("BEGIN IMMEDIATE");
  } catch (error) {
    if (isDatabaseBusy(error)) return false;
    throw error;
  }
  connection.run("ROLLBACK");
  return true;
}

/** The result must stay referenced: a garbage-collected connection would release the lock. */
function connect(path: string, take: (connection: Connection) => void): Connection {
  using opened = new DisposableStack();
  return orRefuse(path, () => {
    const connection = opened.adopt(new Connection(path, { create: true, readwrite: true }), (one) => one.close());
    // No journal on disk, which can be full: nothing is ever written to this database.
    connection.run("PRAGMA journal_mode = MEMORY");
    take(connection);
    opened.move();
    return connection;
  });
}

function orRefuse<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof AppError ? error : usage(whyNot(error, path));
  }
}

function whyNot(error: unknown, path: string): string {
  if (isDatabaseBusy(error)) {
    return `Another condarium server is using this data folder (${path} is locked). Stop that server, or set another --data.`;
  }
  if (isDatabaseDamaged(error)) {
    return `${path} is damaged. It contains no data: make sure that no server uses this folder, then delete the file.`;
  }
  return `${path} cannot be locked: ${error instanceof Error ? error.message : String(error)}.`;
}
