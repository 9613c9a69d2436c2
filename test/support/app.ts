// The real app on a temporary folder, with typed actors. Nothing of the server is mocked.

import { existsSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApp, type App } from "../../src/app.ts";
import { loadConfig } from "../../src/config.ts";
import type { Clock } from "../../src/modules/clock.ts";
import { createLogger } from "../../src/modules/log.ts";
import type { Peer } from "../../src/routers/request-pipeline.ts";
import { enginesOf } from "./engines.ts";
import { manageAs, type Manage } from "./manage.ts";

export type Actor = {
  readonly name: string;
  get(path: string, headers?: Record<string, string>): Promise<Response>;
  head(path: string, headers?: Record<string, string>): Promise<Response>;
  put(path: string, body: Uint8Array | ReadableStream | null, headers?: Record<string, string>): Promise<Response>;
  delete(path: string, headers?: Record<string, string>): Promise<Response>;
  send(method: string, path: string, headers?: Record<string, string>): Promise<Response>;
};

export type TestApp = {
  readonly app: App;
  /** Users, tokens, channels and grants, as commands manage them. */
  readonly manage: Manage;
  readonly folder: string;
  readonly anonymous: Actor;
  /** Signed in as a user that `addUser` created. */
  as(name: string): Actor;
  withToken(token: string): Actor;
  addUser(name: string, options?: { readonly admin?: boolean }): Promise<Actor>;
  /** Every line the app has logged so far. */
  log(): string;
  /** Files below the data folder and in the bucket, without those of the databases and of each node. */
  storedFiles(): Promise<string[]>;
  close(): Promise<void>;
};

export type TestAppOptions = {
  readonly settings?: Readonly<Record<string, string>>;
  readonly clock?: Clock;
  readonly failpoint?: (name: string) => void;
  /** Base URL of links; default: https://conda.example. */
  readonly publicUrl?: string;
  /** Reuses a folder, for restarts; the caller then deletes it. */
  readonly folder?: string;
};

/** Long enough for the rules, and in no log: `E3` greps for it. */
export const PASSWORD = "canary-password-0123456789";

export async function startTestApp(options: TestAppOptions = {}): Promise<TestApp> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "condarium-app-")));
  const lines: string[] = [];
  const engines = await enginesOf(folder);
  const { config } = loadConfig({
    flags: { data: folder, "min-free-space": "1MiB", ...engines.settings, ...options.settings },
    environment: {},
  });
  const log = createLogger({ level: "debug", write: (line) => void lines.push(line) });
  const { clock, failpoint } = options;
  const app = await createApp({
    config,
    log,
    failpoint,
    publicUrl: options.publicUrl ?? "https://conda.example",
    ...(clock === undefined ? {} : { clock }),
  });
  const manage = manageAs(app);
  return {
    app,
    manage,
    folder,
    anonymous: actor(app, "anonymous", {}),
    as: (name) => actor(app, name, basic(name, PASSWORD)),
    withToken: (token) => actor(app, "token", { authorization: `Bearer ${token}` }),
    addUser: async (name, { admin = false } = {}) => {
      await manage.users.create({ name, password: PASSWORD, isAdmin: admin });
      return actor(app, name, basic(name, PASSWORD));
    },
    log: () => lines.join(""),
    storedFiles: async () => {
      const { contents } = engines;
      const names = await Promise.all([folder, ...(contents === undefined ? [] : [contents])].map(filesBelow));
      return names
        .flat()
        .filter((name) => !OF_THE_NODE.test(name))
        .sort();
    },
    close: async () => {
      await app.close();
      if (options.folder !== undefined) return;
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
      await engines.drop();
    },
  };
}

/** Those of the database, the marks of a folder, copies of a bucket's objects, and the folders of the S3 service. */
const OF_THE_NODE = /^(condarium\.db.*|lock.*|layout|database-server|store-id|derived\/boot|cache\/.*|\.sgwtmp\/.*)$/;

async function filesBelow(root: string): Promise<string[]> {
  const names = await readdir(root, { recursive: true, withFileTypes: true });
  return names
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
}

/** A worker thread closes the derived data shortly after the app: a copy of the folder must wait for that. */
export async function derivedDataIsLetGo(folder: string): Promise<void> {
  for (let waited = 0; waited < 250 && existsSync(join(folder, "index.db-wal")); waited++) await Bun.sleep(20);
}

export function basic(user: string, password: string): { authorization: string } {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` };
}

const PEER = peerAt("192.0.2.1");

/** A client that has read each response completely. */
export function peerAt(address: string): Peer {
  return { address, port: 50_000, isOpen: () => false };
}

function actor(app: App, name: string, credentials: Record<string, string>): Actor {
  const send = (method: string, path: string, headers: Record<string, string> = {}, body?: unknown) =>
    app.handle(requestOf(method, path, { ...credentials, ...headers }, body), PEER);
  return {
    name,
    get: (path, headers) => send("GET", path, headers),
    head: (path, headers) => send("HEAD", path, headers),
    put: (path, body, headers) => send("PUT", path, headers, body),
    delete: (path, headers) => send("DELETE", path, headers),
    send,
  };
}

function requestOf(method: string, path: string, headers: Record<string, string>, body: unknown): Request {
  const content = body instanceof Uint8Array ? body.slice() : body instanceof ReadableStream ? body : null;
  return new Request(`http://localhost${path}`, { method, headers, body: content });
}
