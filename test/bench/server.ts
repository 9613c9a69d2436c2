// The measured server, in its own data folder, with its log in a file as for a service.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { output } from "../e2e/run.ts";
import type { Bench } from "./bench.ts";
import { freePort, listening, type Started, startProcess } from "./processes.ts";

/** Bytes; undefined where the system does not report them. */
export type Memory = { readonly resident: number; readonly peak: number } | undefined;

export type RunningServer = {
  readonly url: string;
  readonly dataDir: string;
  memory(): Promise<Memory>;
  /** The peak memory, in bytes; undefined where the system does not report it. */
  peakMemory(): Promise<number | undefined>;
  /** Restarts the measurement of the peak; false where the system cannot do that. */
  forgetPeak(): Promise<boolean>;
  /** The processor time used so far by all threads, and by all its processes; undefined where the system does not report it. */
  cpuSeconds(): Promise<number | undefined>;
};

export type MeasuredServer = RunningServer & {
  /** A token of the administrator, with all rights. */
  readonly token: string;
};

/** A folder for a server, and the server's data in it. */
export type ServerFolder = { readonly folder: string; readonly dataDir: string };

const START_SECONDS = 60;
let folders = 0;
let starts = 0;

/**
 * Runs `work` beside a new server, then ends the server. `fill` gets the folder before the start. The folder stays
 * until the end of the benchmark: after removing many files, a file system takes longer to create new ones.
 */
export async function withServer<T>(
  bench: Bench,
  work: (server: MeasuredServer) => Promise<T>,
  fill?: (dataDir: string) => Promise<void>,
): Promise<T> {
  const place = await newFolder(bench);
  await fill?.(place.dataDir);
  return await withServerOn(bench, place, async (server) => {
    return await work({ ...server, token: await createToken(bench, place.dataDir) });
  });
}

export async function newFolder(bench: Bench): Promise<ServerFolder> {
  folders += 1;
  const folder = join(bench.room, `server-${folders}`);
  await mkdir(folder);
  return { folder, dataDir: join(folder, "data") };
}

/** Starts a server on an existing folder, runs `work` beside it and ends it. */
export async function withServerOn<T>(
  bench: Bench,
  { folder, dataDir }: ServerFolder,
  work: (server: RunningServer) => Promise<T>,
  settings: readonly string[] = [],
): Promise<T> {
  const port = freePort();
  starts += 1;
  const log = join(folder, `log-${starts}`);
  const process = startProcess([...serveCommand(bench, dataDir, port), ...settings], { cwd: folder, log });
  try {
    await listening(port, process);
    // The server responds before the first start has created the administrator.
    await saying(log, '"event":"started"');
    return await work(runningServer(process, `http://127.0.0.1:${port}`, dataDir));
  } finally {
    await process.stop();
  }
}

export function serveCommand(bench: Bench, dataDir: string, port: number): string[] {
  return [...bench.command, "serve", "--data", dataDir, "--listen", `127.0.0.1:${port}`];
}

export async function createToken(bench: Bench, dataDir: string, settings: readonly string[] = []): Promise<string> {
  const create = ["token", "create", "admin", "--name", "bench", "--scope", "all", "--data", dataDir];
  return (await output([...bench.command, ...create, ...settings])).trim();
}

/** Publishes one package. */
export async function publish(server: MeasuredServer, fileName: string, bytes: Uint8Array): Promise<string> {
  const address = `${server.url}/api/packages/admin/conda/main/${fileName}`;
  const headers = { authorization: `Bearer ${server.token}` };
  const answer = await fetch(address, { method: "PUT", headers, body: new Uint8Array(bytes) });
  if (answer.status !== 201) throw new Error(`publishing ${fileName} answered ${answer.status} ${await answer.text()}`);
  await answer.body?.cancel();
  return `${server.url}/admin/main/noarch/${fileName}`;
}

function runningServer({ pid }: Started, url: string, dataDir: string): RunningServer {
  return {
    url,
    dataDir,
    memory: () => memoryOf(pid),
    peakMemory: async () => (await memoryOf(pid))?.peak,
    forgetPeak: () => writeFile(`/proc/${pid}/clear_refs`, "5").then(...succeeds),
    cpuSeconds: async () => {
      const used = await Promise.all([pid, ...(await childrenOf(pid))].map(cpuSeconds));
      return used[0] === undefined ? undefined : used.reduce<number>((sum, one) => sum + (one ?? 0), 0);
    },
  };
}

const succeeds = [() => true, () => false] as const;

async function saying(log: string, text: string): Promise<void> {
  for (let waited = 0; waited < START_SECONDS * 100; waited += 1) {
    if ((await readFile(log, "utf8")).includes(text)) return;
    await Bun.sleep(10);
  }
  throw new Error(`the server has not said ${text} after ${START_SECONDS} s`);
}

async function memoryOf(pid: number): Promise<Memory> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const bytes = (key: string): number => 1024 * Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]);
  const memory = { resident: bytes("VmRSS"), peak: bytes("VmHWM") };
  return Number.isNaN(memory.peak) ? undefined : memory;
}

/** Empty where the system does not report them. */
async function childrenOf(pid: number): Promise<number[]> {
  const list = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  return list.split(" ").filter(Boolean).map(Number);
}

/** Fields 14 and 15 of the line, in hundredths of a second; the name before them can contain anything. */
async function cpuSeconds(pid: number): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields && (Number(fields[11]) + Number(fields[12])) / 100;
}
