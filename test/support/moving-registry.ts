// A registry with something of everything that is stored, and what must be the same after it has moved.

import { Database as Connection } from "bun:sqlite";
import { join } from "node:path";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { sha256Hex } from "../../src/modules/hash.ts";
import { basic, PASSWORD, startTestApp } from "./app.ts";
import { documentPaths } from "./documents.ts";
import { newToken } from "./manage.ts";
import { buildPackage, type BuiltPackage } from "./package-builder.ts";
import type { SharedPostgres } from "./postgres.ts";
import { serve } from "./server-process.ts";
import { setState } from "./state.ts";

/** Scripts, composed and decomposed letters, 4-byte characters, separators, quotes, and escapes of JSON and SQL. */
export const ODD = "żółć e\u0301 中文 العربية 🐍\u{1F9EC} \u2028\u2029 \u0001\t\\u0000 '\"\\ $1 {} ﷽ \uFFFD";

export const TOOLS = ["1", "2", "3", "4"].map((version) =>
  buildPackage({
    name: "tool",
    version,
    summary: ODD,
    info: { "about.json": { summary: ODD, description: ODD.repeat(50) }, "run_exports.json": { weak: ["tool"] } },
  }),
);
const BIN = buildPackage({ name: "bin_tool.x", version: "1!2.0+local", subdir: "linux-64", depends: ["tool >=1"] });

/** Fills a new data folder; returns the secret of a token of alice. */
export async function fillRegistry(folder: string): Promise<string> {
  const server = await startTestApp({ folder });
  const { manage } = server;
  const alice = await server.addUser("alice", { admin: true });
  for (const name of ["bob", "carol", "gone"]) await server.addUser(name);
  const put = async (path: string, bytes: Uint8Array): Promise<void> => {
    const { status } = await alice.put(path, bytes);
    if (status !== 201) throw new Error(`${path}: ${status}`);
  };
  for (const { fileName, bytes } of TOOLS) {
    await put(`/api/packages/alice/conda/main/${fileName}`, bytes);
    await put(`/api/packages/alice/conda/other/${fileName}`, bytes);
  }
  await put(`/api/packages/alice/conda/main/${BIN.fileName}`, BIN.bytes);
  for (const name of ["a.bin", "b.bin"])
    await put(`/api/packages/alice/generic/files/1.0/${name}`, Buffer.from(name + ODD));
  await setState(server, `alice/main/noarch/${nameOf(TOOLS[1])}`, "yanked");
  for (const path of [`/alice/main/noarch/${nameOf(TOOLS[2])}`, "/api/packages/alice/generic/files/1.0/b.bin"]) {
    const { status } = await alice.delete(path);
    if (status !== 204) throw new Error(`DELETE ${path}: ${status}`);
  }
  await manage.channels.create({ owner: "alice", channel: "secret" }, { visibility: "private" });
  await manage.grants.set({ owner: "alice", channel: "secret" }, "bob", "publisher");
  await manage.grants.set({ owner: "alice", channel: undefined }, "carol", "reader");
  await manage.users.setDisabled("gone", true);
  const token = await newToken(manage, { user: "alice", name: "a token" });
  await newToken(manage, { user: "bob", name: "revoked" });
  await manage.tokens.revoke("bob", "revoked");
  // The greatest ids are those of deleted rows: they must not be assigned again.
  await manage.channels.create({ owner: "bob", channel: "last" }, {});
  await manage.channels.remove({ owner: "bob", channel: "last" });
  await put(`/api/packages/alice/conda/main/last-1-0.conda`, buildPackage({ name: "last", version: "1" }).bytes);
  await alice.delete("/alice/main/noarch/last-1-0.conda");
  await server.close();
  const database = new Connection(join(folder, "condarium.db"));
  database.run("UPDATE owner SET display_name = ? WHERE name = 'alice'", [ODD]);
  database.run("UPDATE channel SET description = ?, created = 4102444800000 WHERE name = 'secret'", [ODD]);
  database.close();
  return token;
}

/** Adds what organizations have: a team, its member, a robot with a token, a held name, a transferred and an offered channel. */
export async function addOrganization(folder: string): Promise<void> {
  const server = await startTestApp({ folder });
  const { manage } = server;
  await manage.organizations.create({ name: "first", owner: "alice", displayName: ODD, description: ODD });
  await manage.organizations.rename("first", "acme");
  await manage.teams.create("acme", {
    name: "Devs",
    role: "publisher",
    channels: ["main", "dev/*"],
    packages: ["x-*"],
  });
  await manage.robots.create("acme", "ci");
  for (const name of ["bob", "acme/ci"]) await manage.teams.addMember({ organization: "acme", team: "devs" }, name);
  await newToken(manage, { user: "acme/ci", name: "deploy" });
  await manage.channels.create({ owner: "bob", channel: "moved" }, {});
  await manage.transfers.transfer({ owner: "bob", channel: "moved" }, "acme");
  await manage.grants.set({ owner: "acme", channel: "moved" }, "acme/devs", "maintainer", ["x-*"]);
  await manage.transfers.offer({ owner: "acme", channel: "moved" }, "carol");
  await server.close();
}

export function nameOf(built: BuiltPackage | undefined): string {
  return built?.fileName ?? "none";
}

/** Everything that clients read, by path: status, validators and content. */
export async function readRegistry(folder: string, settings: readonly string[]): Promise<Record<string, string>> {
  const server = await serve(folder, settings);
  try {
    return await readServer(server.url);
  } finally {
    await server.end("SIGTERM");
  }
}

export async function readServer(url: string): Promise<Record<string, string>> {
  const documents = ["main", "other", "secret"].flatMap((channel) =>
    [...documentPaths("noarch"), ...documentPaths("linux-64").slice(0, 10)].map((name) => `/alice/${channel}/${name}`),
  );
  const packages = TOOLS.map(({ fileName }) => `/alice/main/noarch/${fileName}`);
  const paths = [...documents, ...packages, `/alice/main/linux-64/${BIN.fileName}`, ...["a.bin", "b.bin"].map(generic)];
  const answers: Record<string, string> = {};
  for (const path of paths) {
    const answer = await fetch(url + path, { headers: { ...basic("alice", PASSWORD), "accept-encoding": "identity" } });
    const { headers, status } = answer;
    const validators = status < 300 ? `${headers.get("etag")} ${headers.get("last-modified")}` : "";
    answers[path] = `${status} ${validators} ${status < 300 ? sha256Hex(await answer.bytes()) : ""}`;
  }
  return answers;
}

function generic(name: string): string {
  return `/api/packages/alice/generic/files/1.0/${name}`;
}

/** The rows of every table, as text, sorted; a lease is a process's, totals are counted, and a storage has its own identity. */
type Rows = Record<string, string[]>;
const LEFT_OUT = new Set(["lease", "store", "stored_total", "schema_migration", "commit_count", "sqlite_sequence"]);

export function sqliteRows(folder: string): Rows {
  const database = new Connection(join(folder, "condarium.db"), { readonly: true });
  const names = database.query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
  const rows = rowsOf(names, (name) => database.query<Record<string, unknown>, []>(`SELECT * FROM "${name}"`).all());
  database.close();
  return rows;
}

export async function postgresRows(postgres: SharedPostgres, url: string): Promise<Rows> {
  const names = await tablesOf(postgres, url);
  const all = new Map<string, Record<string, unknown>[]>();
  for (const name of names) all.set(name, await postgres.asSuperuser(url, `SELECT * FROM "${name}"`));
  return rowsOf(
    names.map((name) => ({ name })),
    (name) => all.get(name) ?? [],
  );
}

export async function tablesOf(postgres: SharedPostgres, url: string): Promise<string[]> {
  const rows = await postgres.asSuperuser(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
  return rows.map(({ tablename }) => String(tablename));
}

function rowsOf(names: readonly { readonly name: string }[], read: (name: string) => Record<string, unknown>[]): Rows {
  const kept = names.map(({ name }) => name).filter((name) => !LEFT_OUT.has(name));
  return Object.fromEntries(
    kept.sort().map((name) => [
      name,
      read(name)
        .map((row) =>
          JSON.stringify(
            Object.entries(row)
              .map(([column, value]) => [column, textOf(value)])
              .sort(),
          ),
        )
        .sort(),
    ]),
  );
}

/** SQLite has no booleans, and the driver of PostgreSQL gives its integers as text. */
function textOf(value: unknown): string | null {
  if (value === null || typeof value === "string") return value;
  if (typeof value === "boolean") return String(Number(value));
  return JSON.stringify(value);
}

/** What schema 1 did not have, by table. */
const NEWER: Readonly<Record<string, readonly string[]>> = {
  package_blob: ["unreferenced_at"],
  access_token: ["last_eight"],
  user: ["principal_id", "organization_id"],
  grant: ["principal_id", "packages"],
  owner: ["hidden", "description"],
  package_file: ["published_by", "quarantine"],
  audit_event: ["actor", "owner_id", "target", "outcome", "times", "refusal"],
};

/** The tables that schema 1 did not have. */
export const NEWER_TABLES: readonly string[] = [
  "principal",
  "second_factor",
  "recovery_code",
  "team",
  "team_member",
  "held_name",
  "channel_offer",
  "former_address",
];

/** Makes a backup one of schema 1. */
export async function makeOlder(backup: string): Promise<void> {
  const manifest = await Bun.file(join(backup, "backup.json")).json();
  const tables = manifest.tables.filter(({ name }: { name: string }) => !NEWER_TABLES.includes(name));
  for (const table of tables) {
    const path = join(backup, manifest.rows, `${table.name}.jsonl.zst`);
    const lines = zstdDecompressSync(await Bun.file(path).bytes())
      .toString()
      .split("\n");
    const older = lines.map((line) =>
      line === "" ? "" : JSON.stringify(without(JSON.parse(line), NEWER[table.name])),
    );
    const bytes = zstdCompressSync(older.join("\n"));
    await Bun.write(path, bytes);
    Object.assign(table, { bytes: bytes.byteLength, sha256: sha256Hex(bytes) });
  }
  await Bun.write(join(backup, "backup.json"), JSON.stringify({ ...manifest, schema: 1, tables }));
}

function without(row: object, columns: readonly string[] = []): object {
  return Object.fromEntries(Object.entries(row).filter(([name]) => !columns.includes(name)));
}
