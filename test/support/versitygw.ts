// A private S3 server for tests: versitygw over a temporary folder.

import { existsSync, mkdirSync } from "node:fs";
import { cp, mkdir, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { leaveOut } from "./left-out.ts";
import { freePort, privateFolder, startPrivateServer, type PrivateServer } from "./private-server.ts";

export type Versitygw = {
  readonly endpoint: string;
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** The folder of all its files. */
  readonly room: string;
  /** The folder whose folders are the buckets, and whose files are their objects. */
  readonly folder: string;
  /** Creates a bucket, empty or a copy of another, and returns its name. */
  createBucket(original?: string): Promise<string>;
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
const [ACCESS_KEY, SECRET_KEY] = ["test-access-key", "test-secret-key-0123456789"];

/** Whether this machine has versitygw; if not, reports that the tests named are left out. */
export function hasVersitygw(what: string): boolean {
  if (program() !== undefined) return true;
  leaveOut(what, "versitygw is missing; .ci/versitygw.sh builds it");
  return false;
}

/** Its buckets, without what would disturb the other tests on it. */
export type SharedVersitygw = Omit<Versitygw, "start" | "stop" | "kill" | "freeze" | "thaw" | "close">;

/** Tells another test process which server to share: its endpoint and its room. */
export const VERSITYGW_VARIABLE = "CONDARIUM_TEST_VERSITYGW";

/** The server that all tests of this process share, or those of a whole run; otherwise the first call starts it. */
export function sharedVersitygw(): Promise<SharedVersitygw> {
  const [endpoint, room] = process.env[VERSITYGW_VARIABLE]?.split(" ") ?? [];
  const holder = globalThis as { condariumVersitygw?: Promise<SharedVersitygw> };
  return (holder.condariumVersitygw ??=
    endpoint === undefined || room === undefined ? startVersitygw() : Promise.resolve(bucketsOf(endpoint, room)));
}

function bucketsOf(endpoint: string, room: string): SharedVersitygw {
  const { folder, sidecar } = partsOf(room);
  return {
    endpoint,
    room,
    region: REGION,
    accessKey: ACCESS_KEY,
    secretKey: SECRET_KEY,
    folder,
    createBucket: async (original) => {
      const bucket = `b-${crypto.randomUUID()}`;
      await mkdir(join(folder, bucket));
      if (original === undefined) return bucket;
      for (const part of [folder, sidecar].filter((each) => existsSync(join(each, original))))
        await cp(join(part, original), join(part, bucket), { recursive: true, preserveTimestamps: true });
      return bucket;
    },
  };
}

function partsOf(room: string): { readonly folder: string; readonly sidecar: string } {
  return { folder: join(room, "data"), sidecar: join(room, "sidecar") };
}

export async function startVersitygw(): Promise<Versitygw> {
  const path = program();
  if (path === undefined) throw new Error("versitygw is missing: run .ci/versitygw.sh");
  const room = privateFolder("versitygw");
  const { folder, sidecar } = partsOf(room);
  for (const part of [folder, sidecar]) mkdirSync(part);
  const port = await freePort();
  const endpoint = `http://127.0.0.1:${port}`;
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
      environment: { ROOT_ACCESS_KEY: ACCESS_KEY, ROOT_SECRET_KEY: SECRET_KEY },
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
    ...bucketsOf(endpoint, room),
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
