// A private S3 server for tests: versitygw over a temporary folder.

import { existsSync, mkdirSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { leaveOut } from "./left-out.ts";
import { freePort, privateFolder, startPrivateServer, type PrivateServer } from "./private-server.ts";

export type Versitygw = {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** The folder whose folders are the buckets, and whose files are their objects. */
  readonly folder: string;
  /** Creates an empty bucket, and returns its name. */
  createBucket(): Promise<string>;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Ends it by SIGKILL. */
  kill(): Promise<void>;
  /** The process stops where it is: connections stay open, and are made, but get no answer. */
  freeze(): void;
  thaw(): void;
  /** Stops the server and deletes its data. */
  close(): Promise<void>;
};

/** `.ci/versitygw.sh` builds this one. */
const VERSION = "v1.8.0";
const REGION = "us-east-1";

/** Whether this machine has versitygw; if not, reports that the tests named are left out. */
export function hasVersitygw(what: string): boolean {
  if (program() !== undefined) return true;
  leaveOut(what, "versitygw is missing; .ci/versitygw.sh builds it");
  return false;
}

/** The server that all tests of this process share; the first call starts it. */
export function sharedVersitygw(): Promise<Versitygw> {
  const holder = globalThis as { condariumVersitygw?: Promise<Versitygw> };
  return (holder.condariumVersitygw ??= startVersitygw());
}

export async function startVersitygw(): Promise<Versitygw> {
  const path = program();
  if (path === undefined) throw new Error("versitygw is missing: run .ci/versitygw.sh");
  const room = privateFolder("versitygw");
  const [folder, sidecar] = [join(room, "data"), join(room, "sidecar")];
  for (const part of [folder, sidecar]) mkdirSync(part);
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
  const [accessKey, secretKey] = ["test-access-key", "test-secret-key-0123456789"];
  const boot = () =>
    startPrivateServer({
      command: [
        path,
        "--quiet",
        "--region",
        REGION,
        "--port",
        `127.0.0.1:${port}`,
        "posix",
        "--sidecar",
        sidecar,
        folder,
      ],
      environment: { ROOT_ACCESS_KEY: accessKey, ROOT_SECRET_KEY: secretKey },
      logFile: join(room, "log"),
      isReady: () => answers(endpoint),
    });
  let server: PrivateServer | undefined = await boot();
  const end = async (signal: NodeJS.Signals) => {
    const ended = server;
    server = undefined;
    ended?.signalAll("SIGCONT");
    await ended?.end(signal);
  };
  return {
    endpoint,
    region: REGION,
    accessKey,
    secretKey,
    folder,
    createBucket: async () => {
      const bucket = `b-${crypto.randomUUID()}`;
      await mkdir(join(folder, bucket));
      return bucket;
    },
    start: async () => void (server ??= await boot()),
    stop: () => end("SIGTERM"),
    kill: () => end("SIGKILL"),
    freeze: () => server?.signalAll("SIGSTOP"),
    thaw: () => server?.signalAll("SIGCONT"),
    close: async () => {
      await end("SIGKILL");
      await rm(room, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

async function answers(endpoint: string): Promise<boolean> {
  try {
    await fetch(endpoint, { signal: AbortSignal.timeout(1000) });
    return true;
  } catch {
    return false;
  }
}

function program(): string | undefined {
  const cache = process.env["CONDARIUM_TEST_CACHE"] ?? join(homedir(), ".cache/condarium");
  const built = join(cache, `versitygw-${VERSION}`, "versitygw");
  return existsSync(built) ? built : (Bun.which("versitygw") ?? undefined);
}
