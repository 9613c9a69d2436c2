// The server that is measured, on an empty data folder of its own, with its log in a file as a service has it.

import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";

import { output } from "../e2e/run.ts";
import type { Bench } from "./bench.ts";
import { freePort, listening, startProcess } from "./processes.ts";

export type MeasuredServer = {
  readonly url: string;
  /** Of the administrator, with all rights. */
  readonly token: string;
  readonly dataDir: string;
  /** The most memory it has had, in bytes; undefined where the system does not tell. */
  peakMemory(): Promise<number | undefined>;
  /** The processor time it has used so far, all threads together; undefined where the system does not tell. */
  cpuSeconds(): Promise<number | undefined>;
};

let servers = 0;

/**
 * Runs `work` beside a new server, then ends the server. `fill` gets the folder before it starts. The folder stays until
 * the end of the benchmark: a file system that has just removed many files takes longer to make new ones.
 */
export async function withServer<T>(
  bench: Bench,
  work: (server: MeasuredServer) => Promise<T>,
  fill?: (dataDir: string) => Promise<void>,
): Promise<T> {
  servers += 1;
  const folder = join(bench.room, `server-${servers}`);
  const dataDir = join(folder, "data");
  await mkdir(folder);
  await fill?.(dataDir);
  const port = freePort();
  const command = [...bench.command, "serve", "--data", dataDir, "--listen", `127.0.0.1:${port}`];
  const log = join(folder, "log");
  const process = startProcess(command, { cwd: folder, log });
  try {
    const url = `http://127.0.0.1:${port}`;
    await listening(port, process);
    // It answers before the first start has made the administrator.
    while (!(await readFile(log, "utf8")).includes('"event":"started"')) await Bun.sleep(10);
    const create = ["token", "create", "admin", "--name", "bench", "--scope", "all", "--data", dataDir];
    const token = (await output([...bench.command, ...create])).trim();
    const { pid } = process;
    return await work({
      url,
      token,
      dataDir,
      peakMemory: () => peakMemory(pid),
      cpuSeconds: () => cpuSeconds(pid),
    });
  } finally {
    await process.stop();
  }
}

/** Sends one package. */
export async function publish(server: MeasuredServer, fileName: string, bytes: Uint8Array): Promise<string> {
  const address = `${server.url}/api/packages/admin/conda/main/${fileName}`;
  const headers = { authorization: `Bearer ${server.token}` };
  const answer = await fetch(address, { method: "PUT", headers, body: new Uint8Array(bytes) });
  if (answer.status !== 201) throw new Error(`publishing ${fileName} answered ${answer.status} ${await answer.text()}`);
  await answer.body?.cancel();
  return `${server.url}/admin/main/noarch/${fileName}`;
}

async function peakMemory(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
}

/** Fields 14 and 15 of the line, in hundredths of a second; the name before them may hold anything. */
async function cpuSeconds(pid: number): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields && (Number(fields[11]) + Number(fields[12])) / 100;
}
