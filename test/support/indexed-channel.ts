// A channel with files of every kind, whose documents have all been read, and ways to damage its stored data.

import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect } from "bun:test";
import { readdirSync, rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { derivedDataIsLetGo, startTestApp, type Actor, type TestApp } from "./app.ts";
import { bytesOf } from "./answers.ts";
import { copyClosedFolder } from "./copy-folder.ts";
import { documentPaths, shardHashes, shardIndexOf } from "./documents.ts";
import { contentFile, openedEngines } from "./engines.ts";
import { buildPackage } from "./package-builder.ts";
import { rowsIn } from "./rows.ts";
import { setState } from "./state.ts";

export const SECTIONS = ["linux-64", "noarch"];
export const YANKED = "extra-1-0.conda";
export const QUARANTINED = "extra-2-0.conda";

type FilledFolder = {
  /** Every document as it was read. */
  readonly sound: Map<string, string>;
  /** A copy of the folder, for a test to damage. */
  copy(): Promise<string>;
  remove(): Promise<void>;
};

/** A folder with such a channel, all of it read, and no server running on it. */
export async function filledFolder(): Promise<FilledFolder> {
  const original = await mkdtemp(join(tmpdir(), "condarium-filled-"));
  const first = await startTestApp({ folder: original });
  const user = await first.addUser("user");
  await fillChannel(first, user);
  const sound = await readDocuments(user);
  await first.app.close();
  await derivedDataIsLetGo(original);
  return {
    sound,
    copy: async () => {
      const folder = await mkdtemp(join(tmpdir(), "condarium-copy-"));
      await copyClosedFolder(original, folder);
      return folder;
    },
    remove: () => rm(original, { recursive: true, force: true }),
  };
}

/** The filled folder for the tests of a file: each test damages its own copy, with a server on it. */
export type CopiedChannel = {
  /** The server of the running test. */
  readonly server: TestApp;
  /** Every document of the undamaged channel. */
  readonly sound: Map<string, string>;
  /** Runs a test on a fresh copy. */
  withCopy(work: () => Promise<void>): Promise<void>;
  /** Stops the server, runs `between` without one, and starts another on the same folder. */
  restart(between?: () => Promise<void> | void): Promise<void>;
};

export function copiedChannel(): CopiedChannel {
  let filled: FilledFolder;
  let server: TestApp;
  beforeAll(async () => {
    filled = await filledFolder();
  });
  afterAll(() => filled.remove());
  return {
    get server() {
      return server;
    },
    get sound() {
      return filled.sound;
    },
    withCopy: async (work) => {
      const folder = await filled.copy();
      server = await startTestApp({ folder });
      try {
        await work();
      } finally {
        await server.close();
        await rm(folder, { recursive: true, force: true });
        await openedEngines(folder).drop();
      }
    },
    restart: async (between = () => {}) => {
      await server.close();
      await between();
      server = await startTestApp({ folder: server.folder });
    },
  };
}

/** Deletes index.db with its log. */
export function deleteIndexDatabase(folder: string): void {
  for (const suffix of ["", "-wal", "-shm"]) rmSync(join(folder, `index.db${suffix}`), { force: true });
}

/** The id of a segment of `noarch/repodata.json`, in SQL. */
export const ONE_SEGMENT = "(SELECT min(id) FROM segment WHERE section = 'noarch' AND layout = 'repodata')";
export const NO_DATABASE = "this is no database at all".repeat(1000);

/** Publishes as `user` to `user/main`; `noarch` is so large that its documents are stored in files. */
export async function fillChannel(server: TestApp, user: Actor): Promise<void> {
  for (let at = 0; at < 24; at += 1) {
    await publish(user, {
      name: `pkg-${at % 9}`,
      version: `1.${at}`,
      format: at % 4 === 0 ? "tar.bz2" : "conda",
      depends: [`pkg-${(at + 1) % 9} >=1`],
      summary: "a long text ".repeat(300),
      ...(at % 3 === 0 ? { info: { "run_exports.json": { weak: ["lib >=1"] } } } : {}),
    });
  }
  // A segment boundary follows this name.
  await publish(user, { name: "pkg-42", version: "1" });
  await publish(user, { name: "native", version: "1", subdir: "linux-64" });
  await publish(user, { name: "later", version: "1", flags: ["cuda"] });
  for (const fileName of [YANKED, QUARANTINED, "extra-3-0.conda"])
    await publish(user, { name: "extra", version: fileName.split("-")[1] ?? "" });
  await setState(server, `user/main/noarch/${YANKED}`, "yanked");
  await setState(server, `user/main/noarch/${QUARANTINED}`, "quarantined");
}

export async function publish(user: Actor, description: Parameters<typeof buildPackage>[0]): Promise<string> {
  const built = buildPackage(description);
  const { status } = await user.put(`/api/packages/user/conda/main/${built.fileName}`, built.bytes);
  expect([built.fileName, status]).toEqual([built.fileName, 201]);
  return built.fileName;
}

/** Every document, by its path below the channel, as tag and bytes. */
export async function readDocuments(user: Actor): Promise<Map<string, string>> {
  const documents = new Map<string, string>();
  for (const path of new Set(SECTIONS.flatMap(documentPaths))) {
    const answer = await user.get(`/user/main/${path}`);
    expect([path, answer.status]).toEqual([path, 200]);
    documents.set(path, `${answer.headers.get("etag")} ${(await bytesOf(answer)).toString("base64")}`);
  }
  return documents;
}

/** Runs statements on the derived data or on the main database, behind the server's back. */
export function runSql(
  server: Pick<TestApp, "folder">,
  file: "index.db" | "condarium.db",
  ...statements: string[]
): void {
  if (file === "condarium.db") {
    for (const statement of statements)
      expect([statement, rowsIn(server.folder, `${statement} RETURNING 1 AS changed`).length > 0]).toEqual([
        statement,
        true,
      ]);
    return;
  }
  const database = new Database(join(server.folder, file), { readwrite: true });
  try {
    database.run("PRAGMA busy_timeout = 5000");
    for (const statement of statements)
      expect([statement, database.run(statement).changes > 0]).toEqual([statement, true]);
  } finally {
    database.close();
  }
}

export function rowsOf(
  server: Pick<TestApp, "folder">,
  file: "index.db" | "condarium.db",
  query: string,
): Record<string, unknown>[] {
  if (file === "condarium.db") return rowsIn(server.folder, query);
  const database = new Database(join(server.folder, file), { readwrite: true });
  try {
    return database.query<Record<string, unknown>, []>(query).all();
  } finally {
    database.close();
  }
}

/** The file of the shard of a name in `noarch`, as the served index names it. */
export async function shardFile(server: TestApp, user: Actor, name: string): Promise<string> {
  const index = shardIndexOf(await bytesOf(await user.get("/user/main/noarch/repodata_shards.msgpack.zst")));
  const [channel = ""] = readdirSync(contentFile(server.folder, "shards"));
  return contentFile(server.folder, join("shards", channel, shardHashes(index)[name] ?? ""));
}
