// The listening server in this process: everything between a socket and the data folder is real.

import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { App } from "../../src/app.ts";
import { startServer } from "../../src/cli/server.ts";
import { loadConfig } from "../../src/config.ts";
import { createLogger } from "../../src/modules/log.ts";
import { basic, PASSWORD } from "./app.ts";
import { enginesOf } from "./engines.ts";
import { manageAs, type Manage } from "./manage.ts";
import type { BuiltPackage } from "./package-builder.ts";

export type Listening = {
  readonly app: App;
  /** Users, tokens, channels and grants, as commands manage them. */
  readonly manage: Manage;
  readonly url: string;
  readonly port: number;
  readonly folder: string;
  log(): string;
  addUser(name: string): Promise<void>;
  /** Publishes as a user that `addUser` created. */
  publish(user: string, path: string, built: BuiltPackage): Promise<Response>;
  /** Blobs and file lists. */
  stored(): Promise<string[]>;
  /** Bytes received so far of each upload in progress. */
  staged(): Promise<number[]>;
  stop(): Promise<void>;
};

export type ListeningOptions = {
  readonly settings?: Readonly<Record<string, string>>;
  /** Reuses a folder; the caller then deletes it. */
  readonly folder?: string;
};

export async function listen(options: ListeningOptions = {}): Promise<Listening> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "condarium-listening-")));
  const lines: string[] = [];
  const engines = await enginesOf(folder);
  const { config } = loadConfig({
    flags: { data: folder, listen: "127.0.0.1:0", "min-free-space": "1MiB", ...engines.settings, ...options.settings },
    environment: {},
  });
  const log = createLogger({ level: "debug", write: (line) => void lines.push(line) });
  const fatal: unknown[] = [];
  const server = await startServer({ config, log, onFatal: (error) => void fatal.push(error) });
  const url = `http://${server.address}`;
  const manage = manageAs(server.app);
  return {
    app: server.app,
    manage,
    url,
    port: Number(new URL(url).port),
    folder,
    log: () => lines.join(""),
    addUser: (name) => manage.users.create({ name, password: PASSWORD, isAdmin: false }),
    publish: (user, path, built) =>
      fetch(`${url}${path}/${built.fileName}`, {
        method: "PUT",
        headers: basic(user, PASSWORD),
        body: built.bytes.slice(),
      }),
    stored: async () => {
      const names = await readdir(folder, { recursive: true });
      return names.filter((name) => /^(blobs|files)\//.test(name)).sort();
    },
    staged: async () => {
      const names = await readdir(join(folder, "tmp"));
      return names.map((name) => Bun.file(join(folder, "tmp", name)).size);
    },
    stop: async () => {
      await server.stop();
      if (options.folder !== undefined) return;
      await rm(folder, { recursive: true, force: true });
      await engines.drop();
    },
  };
}
