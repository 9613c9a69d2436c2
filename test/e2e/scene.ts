// The set-up of most client tests: a server, a user who publishes, and real packages to publish.

import { afterAll, beforeAll } from "bun:test";

import { z } from "zod";

import { curl, type CurlAnswer, python } from "./clients.ts";
import { type RealPackage, type RealPackages, realPackages } from "./packages.ts";
import { startServer, type TestServer } from "./server.ts";

export type Scene = {
  readonly server: TestServer;
  readonly alice: { readonly name: string; readonly password: string; readonly token: string };
  readonly packages: RealPackages;
  /** The short address of a channel of alice, for conda clients. */
  channel(name: string): string;
  /** Publishes a package to a channel of alice as Gitea's users do, by curl, and returns the response. */
  put(channel: string, one: RealPackage, credentials?: readonly string[]): Promise<CurlAnswer>;
  /** Publishes packages that have to be accepted. */
  publish(channel: string, ...many: readonly RealPackage[]): Promise<void>;
};

/** A record in the form of the Python scripts. */
export const record = z.object({
  name: z.string(),
  version: z.string(),
  build: z.string(),
  subdir: z.string(),
  fileName: z.string(),
  url: z.string(),
  size: z.number(),
  sha256: z.string(),
  depends: z.array(z.string()),
});

/** The first run creates the Python environment. */
const SETUP_LIMIT = 300_000;

/** Opens a scene before the tests of a `describe`, and closes it after them. */
export function useScene(prepare?: (scene: Scene) => Promise<void>): () => Scene {
  let scene: Scene | undefined;
  beforeAll(async () => {
    scene = await openScene();
    await prepare?.(scene);
  }, SETUP_LIMIT);
  afterAll(async () => {
    await scene?.server.stop();
  });
  return () => {
    if (scene === undefined) throw new Error("the scene is used outside its tests");
    return scene;
  };
}

/** Solves with py-rattler as a new user, or as the user of a machine. */
export async function solve(
  channel: string,
  specs: readonly string[],
  machine?: Parameters<typeof python>[3],
): Promise<z.infer<typeof record>[]> {
  return python("solve.py", [channel, ...specs], z.array(record), machine);
}

async function openScene(): Promise<Scene> {
  const packages = await realPackages();
  const server = await startServer();
  const user = await server.createUser("alice");
  const alice = { ...user, token: await server.createToken("alice", "write:package") };
  const put: Scene["put"] = (channel, one, credentials = ["--user", `${alice.name}:${alice.password}`]) =>
    curl(
      ...credentials,
      "--upload-file",
      one.path,
      `${server.url}/api/packages/alice/conda/${channel}/${one.fileName}`,
    );
  return {
    server,
    alice,
    packages,
    put,
    channel: (name) => `${server.url}/alice/${name}`,
    publish: async (channel, ...many) => {
      for (const one of many) {
        const answer = await put(channel, one);
        if (answer.status !== 201) throw new Error(`${one.fileName}: ${answer.status} ${answer.body}`);
      }
    },
  };
}
