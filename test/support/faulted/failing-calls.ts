// Tests in which one kind of system call fails with EIO, at its Nth use in each thread, under load.

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { blobKey } from "../../../src/modules/storage/keys.ts";
import { createLedger, type Ledger } from "./ledger.ts";
import { newItems, OWNER, prepare, runLoad } from "./load.ts";
import { readBack } from "./read-back.ts";
import { leaveOut } from "../left-out.ts";
import { condarium, serve, type ServerProcess } from "../server-process.ts";
import { runs } from "../system.ts";

const canTrace = runs("strace", "-qq", "-o", "/dev/null", "true");
if (!canTrace) leaveOut("failing system calls under load", "this needs strace");

/** ms of load after the first failed call, and until it. */
const UNDER_FAULT_MS = 300;
const PATIENCE_MS = 6000;
const DATABASE = ["condarium.db", "condarium.db-wal"];
const INDEX = ["index.db", "index.db-wal"];
const ITEMS = newItems();
const BLOBS = [...new Set(ITEMS.map(({ built }) => blobKey(built.sha256)))];
/** Calls, and the files whose calls fail: any if there are none. */
const FAULTS: readonly (readonly [calls: string, files: readonly string[]])[] = [
  ["pwrite64", []],
  ["pwrite64", DATABASE],
  ["pread64", DATABASE],
  ["fsync,fdatasync", []],
  ["fsync,fdatasync", DATABASE],
  ["fsync,fdatasync", INDEX],
  ["link,linkat", []],
  ["rename,renameat,renameat2", []],
  ["openat", BLOBS],
  ["unlink,unlinkat", []],
];

/** `passes`: the uses of the call that fail, one server for each. */
export function describeFailingCalls(passes: readonly number[]): void {
  describe.skipIf(!canTrace)("EIO", () => failingCalls(passes));
}

function failingCalls(passes: readonly number[]): void {
  let root: string;
  let folder: string;
  let token: string;
  let ledger: Ledger;
  const servers: ServerProcess[] = [];
  const start = async (): Promise<ServerProcess> => {
    const server = await serve(folder);
    servers.push(server);
    return server;
  };
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "condarium-eio-"));
    folder = join(root, "data");
    token = await prepare(folder);
    ledger = createLedger(ITEMS);
  });
  // Those of a failed test still run.
  afterEach(() => servers.splice(0).forEach(({ child }) => child.kill("SIGKILL")));
  afterAll(() => rm(root, { recursive: true, force: true }));

  const cases = FAULTS.map(([calls, files]) => [calls, nameOf(files), files] as const);
  test.each(cases)(
    "from %s on %s: what was acknowledged is there, and the server goes on or ends with a reason",
    async (calls, _, files) => {
      let injected = 0;
      for (const at of passes) {
        const server = await start();
        injected += await loadUnderFault(server, calls, files, at);
        await endOf(server);
        await checkAfter();
      }
      // A fault that never happened would prove nothing.
      expect(injected).toBeGreaterThan(0);
    },
    120_000,
  );

  async function loadUnderFault(server: ServerProcess, calls: string, files: readonly string[], at: number) {
    const end = new AbortController();
    const load = { url: server.url, token, ledger, seed: at, signal: end.signal, cuts: false };
    const trace = join(root, "trace");
    const paths = files.flatMap((name) => ["-P", join(folder, name)]);
    const inject = ["-e", `trace=${calls}`, "-e", `inject=${calls}:error=EIO:when=${at}`];
    const tracer = Bun.spawn(
      ["strace", "-f", "-qq", "-o", trace, ...paths, ...inject, "-p", String(server.child.pid)],
      {
        stdin: "ignore",
        stdout: "ignore",
        stderr: "ignore",
      },
    );
    await Bun.sleep(200);
    const working = runLoad(load);
    const injected = async (): Promise<number> => (await Bun.file(trace).text()).split("(INJECTED)").length - 1;
    for (let waited = 0; waited < PATIENCE_MS && (await injected()) === 0; waited += 50) await Bun.sleep(50);
    await Promise.race([Bun.sleep(UNDER_FAULT_MS), server.child.exited]);
    // Interrupted, the tracer lets go of the server.
    tracer.kill("SIGINT");
    await tracer.exited;
    await Promise.race([Bun.sleep(100), server.child.exited]);
    end.abort();
    await working;
    return await injected();
  }

  /** A living server answers and stops; another has ended with 1 and one fatal line. */
  async function endOf(server: ServerProcess): Promise<void> {
    if (!server.stderr().includes('"event":"fatal"')) {
      expect((await fetch(`${server.url}/health/live`)).status).toBe(200);
      expect((await server.end("SIGTERM")).code).toBe(0);
    } else expect(await server.child.exited).toBe(1);
  }

  async function checkAfter(): Promise<void> {
    const server = await start();
    await readBack(server.url, OWNER, ledger);
    expect(ledger.problems).toEqual([]);
    const verified = await condarium(["verify", "--full", "--data", folder]);
    expect([verified.code, verified.stdout]).toEqual([0, ""]);
    expect((await server.end("SIGTERM")).code).toBe(0);
  }
}

function nameOf(files: readonly string[]): string {
  if (files.length === 0) return "any file";
  return files === BLOBS ? "the packages" : files.join(", ");
}
