// Equal nodes: condarium processes with data folders of their own, on one database server and one bucket.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres, type Postgres } from "./postgres.ts";
import { freePort } from "./private-server.ts";
import { condarium, serve, type ServerProcess } from "./server-process.ts";
import { startVersitygw, type Versitygw } from "./versitygw.ts";

export type Registry = {
  readonly postgres: Postgres;
  readonly database: string;
  /** The content of an object of the bucket. */
  object(key: string): Promise<string>;
  /** A node with an empty folder, which is not started yet. */
  addNode(): Promise<Node>;
  close(): Promise<void>;
};

export type Node = {
  /** The same after each start. */
  readonly url: string;
  readonly folder: string;
  /** Resolves when the node listens. */
  start(...settings: readonly string[]): Promise<ServerProcess>;
  end(signal: NodeJS.Signals): Promise<void>;
  /** Runs a command beside the node, which must succeed; returns its output and its notes. */
  run(args: readonly string[], input?: string, environment?: Readonly<Record<string, string>>): Promise<string>;
};

/** Starts PostgreSQL and versitygw; both are empty. */
export async function createRegistry(): Promise<Registry> {
  await using opened = new AsyncDisposableStack();
  const postgres = opened.adopt(await startPostgres(), ({ close }) => close());
  const service = opened.adopt(await startVersitygw(), ({ close }) => close());
  const room = await mkdtemp(join(tmpdir(), "condarium-nodes-"));
  opened.defer(() => rm(room, { recursive: true, force: true, maxRetries: 5 }));
  const database = await postgres.createDatabase();
  const bucket = await service.createBucket();
  const settings = settingsOf(database, service, bucket);
  const nodes: Node[] = [];
  opened.defer(async () => void (await Promise.all(nodes.map((node) => node.end("SIGKILL")))));
  const addNode = async (): Promise<Node> => {
    const port = await freePort();
    const node = createNode(join(room, `node-${nodes.length}`), settings, port);
    nodes.push(node);
    return node;
  };
  const object = (key: string) => Bun.file(join(service.folder, bucket, "registry", key)).text();
  const owned = opened.move();
  return { postgres, database, object, addNode, close: () => owned.disposeAsync() };
}

function settingsOf(database: string, service: Versitygw, bucket: string): Record<string, string> {
  return {
    CONDARIUM_DATABASE: database,
    // Links are a part of the documents.
    CONDARIUM_PUBLIC_URL: "http://conda.example.com",
    CONDARIUM_STORAGE: `s3://${bucket}/registry?endpoint=${encodeURIComponent(service.endpoint)}&path-style=true`,
    AWS_ACCESS_KEY_ID: service.accessKey,
    AWS_SECRET_ACCESS_KEY: service.secretKey,
  };
}

function createNode(folder: string, settings: Record<string, string>, port: number): Node {
  let server: ServerProcess | undefined;
  const under = ["/usr/bin/env", ...Object.entries(settings).map(([name, value]) => `${name}=${value}`)];
  return {
    url: `http://127.0.0.1:${port}`,
    folder,
    start: async (...more) => (server = await serve(folder, ["--listen", `127.0.0.1:${port}`, ...more], under)),
    end: async (signal) => {
      const ended = server;
      server = undefined;
      await ended?.end(signal);
    },
    run: async (args, input, environment) => {
      const ended = await condarium(
        [...args, "--data", folder],
        { ...settings, ...environment },
        input === undefined ? {} : { input },
      );
      if (ended.code !== 0) throw new Error(`${args.join(" ")}: ${ended.stdout}${ended.stderr}`);
      return ended.stdout + ended.stderr;
    },
  };
}

export type TwoNodes = {
  readonly registry: Registry;
  readonly nodes: readonly [Node, Node];
  /** Of a user, for everything. */
  readonly token: string;
};

/** A registry of two nodes that run, with a user. */
export async function startTwoNodes(user: string): Promise<TwoNodes> {
  const registry = await createRegistry();
  const nodes = [await registry.addNode(), await registry.addNode()] as const;
  for (const node of nodes) await node.start();
  return { registry, nodes, token: await addUser(nodes[0], user) };
}

/** Creates a user with a token for everything; returns the token. */
export async function addUser(node: Node, name: string): Promise<string> {
  await node.run(["user", "create", name, "--password-stdin"], `secret of ${name}, long enough`);
  const output = await node.run(["token", "create", name, "--name", "test", "--scope", "all"]);
  const token = /^cdr-\S+$/m.exec(output)?.[0];
  if (token === undefined) throw new Error(`no token: ${output}`);
  return token;
}
