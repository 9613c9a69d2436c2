// Servers on one database, each a process with a data folder of its own. Several of them need a bucket that they share.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { basic, PASSWORD } from "./app.ts";
import { keepOnSqlite, type Bucket } from "./engines.ts";
import { buildPackage, type BuiltPackage } from "./package-builder.ts";
import { condarium, serve, type Ended, type ServerProcess } from "./server-process.ts";

export type Answered = {
  readonly status: number;
  readonly text: string;
  readonly retryAfter: string | null;
  readonly etag: string;
  readonly ms: number;
};

export type Node = AsyncDisposable & {
  readonly process: ServerProcess;
  readonly folder: string;
  get(path: string, headers?: Record<string, string>): Promise<Answered>;
  /** Publishes as `user` to `user/CHANNEL`. */
  publish(built: BuiltPackage, channel?: string): Promise<Answered>;
  remove(built: BuiltPackage, channel?: string): Promise<Answered>;
  /** Runs a command beside the server. */
  run(args: readonly string[], input?: string): Promise<Ended>;
  /** Creates `user`. */
  addUser(): Promise<void>;
  /** The file names in `repodata.json` of `noarch`. */
  listed(channel?: string): Promise<string[]>;
};

const CHANNEL = "main";

/** Without a database, its rows are in its folder; without a bucket, its packages. */
export async function startNode(database?: string, bucket?: Bucket): Promise<Node> {
  const folder = await mkdtemp(join(tmpdir(), "condarium-node-"));
  if (database === undefined) keepOnSqlite(folder);
  const own = database === undefined ? [] : ["--database", database];
  const settings = ["--uploads-per-account", "1000", "--public-url", "https://conda.example"];
  const shared = Object.entries(bucket?.environment ?? {}).map(([name, value]) => `${name}=${value}`);
  const process = await serve(folder, [...own, ...settings], ["env", ...shared]);
  const environment: Record<string, string> = {
    ...(database === undefined ? {} : { CONDARIUM_DATABASE: database }),
    ...bucket?.environment,
  };
  const run = (args: readonly string[], input?: string) =>
    condarium([...args, "--data", folder], environment, input === undefined ? {} : { input });
  const address = /"address":"([^"]+)"/.exec(process.stderr())?.[1] ?? "";
  const send = async (path: string, init: RequestInit = {}): Promise<Answered> => {
    const started = performance.now();
    const answer = await fetch(`http://${address}${path}`, { ...init, signal: AbortSignal.timeout(60_000) });
    const text = Buffer.from(await answer.arrayBuffer()).toString("latin1");
    const { status, headers } = answer;
    const [retryAfter, etag] = [headers.get("retry-after"), headers.get("etag") ?? ""];
    return { status, text, retryAfter, etag, ms: performance.now() - started };
  };
  const headers = basic("user", PASSWORD);
  const get = (path: string, more: Record<string, string> = {}) => send(path, { headers: more });
  return {
    process,
    folder,
    run,
    addUser: async () => {
      const { code, stderr } = await run(["user", "create", "user", "--password-stdin"], PASSWORD);
      if (code !== 0) throw new Error(stderr);
    },
    get,
    publish: ({ fileName, bytes }, channel = CHANNEL) =>
      send(`/api/packages/user/conda/${channel}/${fileName}`, { method: "PUT", headers, body: bytes.slice() }),
    remove: ({ fileName }, channel = CHANNEL) =>
      send(`/api/packages/user/conda/${channel}/noarch/${fileName}`, { method: "DELETE", headers }),
    listed: async (channel = CHANNEL) => {
      const { status, text } = await get(`/user/${channel}/noarch/repodata.json`);
      if (status !== 200) throw new Error(`repodata.json is ${status}: ${text}`);
      return Object.keys((JSON.parse(text) as { "packages.conda": object })["packages.conda"]).sort();
    },
    [Symbol.asyncDispose]: async () => {
      await process.end("SIGKILL");
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

let built = 0;

/** A package that no other test of this process has. */
export function freshPackage(): BuiltPackage {
  built += 1;
  return buildPackage({ name: `pkg-${built}`, version: "1" });
}
