// A private PostgreSQL server for tests. Its own order of text is not by bytes, where the machine has another one.

import { Glob, SQL } from "bun";
import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { leaveOut } from "./left-out.ts";
import { freePort, privateFolder, startPrivateServer, tied, type PrivateServer } from "./private-server.ts";

export type Postgres = {
  readonly port: number;
  /** The address of a database, as a user that owns it and is no superuser. */
  url(database: string): string;
  /** Creates a database, empty or a copy of the one at the address, to which nothing may be connected; returns its address. */
  createDatabase(template?: string): Promise<string>;
  /** Replaces a database by a copy of another; ends the connections to the first one, and needs that the other has none. */
  replaceDatabase(url: string, template: string): Promise<void>;
  /** Runs SQL as superuser in the database at the address. */
  asSuperuser(url: string, statement: string): Promise<Record<string, unknown>[]>;
  start(): Promise<void>;
  /** `fast` ends the transactions; `immediate` is a crash, and the next start recovers. */
  stop(mode: "fast" | "immediate"): Promise<void>;
  restart(): Promise<void>;
  /** Ends every process by SIGKILL. */
  kill(): Promise<void>;
  /** Every process stops where it is: connections stay open, and are made, but get no answer. */
  freeze(): void;
  thaw(): void;
  connectionCount(url: string): Promise<number>;
  terminateConnections(url: string): Promise<void>;
  /** Refuses writing (25006) as a standby does, or ends that. Cuts the connections of the database. */
  setReadOnly(url: string, isReadOnly: boolean): Promise<void>;
  /** Stops the server and deletes its data. */
  close(): Promise<void>;
};

export type PostgresOptions = {
  /** A locale of the operating system, as `C.UTF-8`; default: ICU's root locale, which sorts `a` before `B`. */
  readonly locale?: string;
  /** Settings of postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
};

const OWNER = "condarium";
const SUPERUSER = "postgres";

/** Whether this machine can start PostgreSQL; if not, reports that the tests named are left out. */
export function hasPostgres(what: string): boolean {
  if (programs() !== undefined) return true;
  leaveOut(what, "PostgreSQL 15 or newer, or setpriv, is missing");
  return false;
}

/** Its databases, without what would disturb the other tests on it. */
export type SharedPostgres = Administration;

/** Tells another test process which server to share. */
export const POSTGRES_VARIABLE = "CONDARIUM_TEST_POSTGRES_PORT";

/** The server that all tests of this process share, or those of a whole run; otherwise the first call starts it. */
export function sharedPostgres(): Promise<SharedPostgres> {
  const port = process.env[POSTGRES_VARIABLE];
  const holder = globalThis as { condariumPostgres?: Promise<SharedPostgres> };
  return (holder.condariumPostgres ??=
    port === undefined ? startPostgres() : Promise.resolve(administration(Number(port))));
}

export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const bin = programs();
  if (bin === undefined) throw new Error("PostgreSQL is missing: install the package postgresql");
  const folder = privateFolder("postgres");
  await initialize(bin, folder, options.locale);
  const port = await freePort();
  const settings = { ...SETTINGS, port: `${port}`, unix_socket_directories: folder, ...options.settings };
  const command = [
    join(bin, "postgres"),
    "-D",
    join(folder, "data"),
    ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
  ];
  const boot = () =>
    startPrivateServer({
      command,
      user: systemUser(),
      logFile: join(folder, "log"),
      isReady: async (pid) => isReady(folder, pid),
    });
  let server: PrivateServer | undefined = await boot();
  const end = async (signal: NodeJS.Signals) => {
    const ended = server;
    server = undefined;
    ended?.signalAll("SIGCONT");
    if (signal === "SIGKILL") ended?.signalAll(signal);
    await ended?.end(signal);
  };
  const start = async () => void (server ??= await boot());
  const stop = (mode: "fast" | "immediate") => end(mode === "fast" ? "SIGINT" : "SIGQUIT");
  await runSql(`postgres://${SUPERUSER}@127.0.0.1:${port}/postgres`, `CREATE ROLE ${OWNER} LOGIN`);
  return {
    ...administration(port),
    start,
    stop,
    restart: () => stop("fast").then(start),
    kill: () => end("SIGKILL"),
    freeze: () => server?.signalAll("SIGSTOP"),
    thaw: () => server?.signalAll("SIGCONT"),
    close: async () => {
      await end("SIGQUIT");
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

const SETTINGS = {
  listen_addresses: "127.0.0.1",
  fsync: "off",
  full_page_writes: "off",
  max_wal_size: "256MB",
  // A failed test can leave its connections open.
  max_connections: "400",
  // Shared memory in the data folder goes with it, also after SIGKILL.
  dynamic_shared_memory_type: "mmap",
};

type Administration = Pick<
  Postgres,
  | "port"
  | "url"
  | "createDatabase"
  | "replaceDatabase"
  | "asSuperuser"
  | "connectionCount"
  | "terminateConnections"
  | "setReadOnly"
>;

function administration(port: number): Administration {
  const admin = (statement: string, database = "postgres") =>
    runSql(`postgres://${SUPERUSER}@127.0.0.1:${port}/${database}`, statement);
  const url = (database: string) => `postgres://${OWNER}@127.0.0.1:${port}/${database}`;
  const others = (of: string) => `FROM pg_stat_activity WHERE datname = '${databaseOf(of)}'`;
  const terminateConnections = async (of: string) =>
    void (await admin(`SELECT pg_terminate_backend(pid, 5000) ${others(of)}`));
  return {
    port,
    url,
    createDatabase: async (template) => {
      const name = `t${crypto.randomUUID().replaceAll("-", "")}`;
      const from = template === undefined ? "template1" : databaseOf(template);
      await admin(`CREATE DATABASE ${name} OWNER ${OWNER} TEMPLATE ${from}`);
      return url(name);
    },
    replaceDatabase: async (of, template) => {
      await admin(`DROP DATABASE ${databaseOf(of)} WITH (FORCE)`);
      await admin(`CREATE DATABASE ${databaseOf(of)} OWNER ${OWNER} TEMPLATE ${databaseOf(template)}`);
    },
    asSuperuser: (of, statement) => admin(statement, databaseOf(of)),
    connectionCount: async (of) => Number((await admin(`SELECT count(*) AS n ${others(of)}`))[0]?.["n"]),
    terminateConnections,
    setReadOnly: async (of, isReadOnly) => {
      await admin(`ALTER DATABASE ${databaseOf(of)} SET default_transaction_read_only = ${isReadOnly}`);
      await terminateConnections(of);
    },
  };
}

async function runSql(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const sql = new SQL(url, { max: 1 });
  try {
    return [...(await sql.unsafe(statement))];
  } finally {
    await sql.close();
  }
}

/** A name that needs no quotes in SQL. */
function databaseOf(url: string): string {
  const name = new URL(url).pathname.slice(1);
  if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new Error(`no database of a test: ${url}`);
  return name;
}

async function initialize(bin: string, folder: string, locale: string | undefined): Promise<void> {
  const user = systemUser();
  if (user !== undefined) await run(["chown", `${user}:`, folder]);
  const order =
    locale === undefined ? ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=und"] : [`--locale=${locale}`];
  const initdb = [
    join(bin, "initdb"),
    "-D",
    join(folder, "data"),
    "-A",
    "trust",
    "-U",
    SUPERUSER,
    "-E",
    "UTF8",
    "--no-sync",
  ];
  await run([...tied(user), ...initdb, ...order]);
}

async function run(command: readonly string[]): Promise<void> {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "ignore", stderr: "pipe", cwd: "/" });
  const [code, complaint] = await Promise.all([child.exited, new Response(child.stderr).text()]);
  if (code !== 0) throw new Error(`${command.join(" ")}: ${complaint}`);
}

/** What the server says in its file, which a killed one leaves behind. */
function isReady(folder: string, pid: number): boolean {
  try {
    const lines = readFileSync(join(folder, "data/postmaster.pid"), "utf8").split("\n");
    return Number(lines[0]) === pid && lines[7]?.trim() === "ready";
  } catch {
    return false;
  }
}

/** PostgreSQL refuses to run as root. */
function systemUser(): string | undefined {
  return process.getuid?.() === 0 ? "postgres" : undefined;
}

/** The folder of the newest server's programs; older ones than 15 cannot take their order from ICU. */
function programs(): string | undefined {
  if (systemUser() !== undefined && Bun.which("setpriv") === null) return undefined;
  const debian = [...new Glob("/usr/lib/postgresql/*/bin/initdb").scanSync()].map(dirname);
  const versions = debian.toSorted((a, b) => versionOf(b) - versionOf(a));
  const newest = versions.find((folder) => versionOf(folder) >= 15);
  const other = Bun.which("initdb");
  return newest ?? (other === null ? undefined : dirname(other));
}

function versionOf(bin: string): number {
  return Number(bin.split("/").at(-2));
}
