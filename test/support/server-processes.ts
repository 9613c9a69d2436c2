// A server of several processes, and connections to each of them.

import { readdirSync, readFileSync } from "node:fs";
import { openSocket, requestText, type RawAnswer, type RawSocket } from "./raw-socket.ts";
import type { ServerProcess } from "./server-process.ts";

/** A connection that one process answers. */
export type Line = {
  readonly process: number;
  ask(target: string, headers?: Record<string, string | number>, body?: Uint8Array | string): Promise<RawAnswer>;
  readonly socket: RawSocket;
};

let probes = 0;

/** One connection to each process, in the order of their numbers. The system chooses the process of a connection. */
export async function lineToEach(server: ServerProcess, processes: number): Promise<Line[]> {
  const lines = new Map<number, Line>();
  for (let tries = 0; lines.size < processes && tries < 500; tries += 1) {
    // A process that is started again refuses connections at first.
    const line = await lineTo(server).catch(() => undefined);
    if (!line) await Bun.sleep(50);
    else if (lines.has(line.process)) line.socket.close();
    else lines.set(line.process, line);
  }
  if (lines.size < processes) throw new Error(`only ${lines.size} processes answer`);
  return [...lines.values()].sort((a, b) => a.process - b.process);
}

async function lineTo(server: ServerProcess): Promise<Line> {
  const socket = await openSocket(server.port);
  const ask: Line["ask"] = async (target, headers = {}, body = "") => {
    const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    const length = bytes.length > 0 ? { "content-length": bytes.length } : {};
    await socket.send(requestText(target, { ...length, ...headers }));
    if (bytes.length > 0) await socket.send(bytes);
    const answer = await socket.answer();
    if (!answer) throw new Error(`no answer to ${target}`);
    return answer;
  };
  probes += 1;
  const agent = `probe-${probes}-end`;
  await ask("GET /health/live", { "user-agent": agent });
  for (let waited = 0; waited < 2000; waited += 5) {
    const line = server
      .stderr()
      .split("\n")
      .find((text) => text.includes(agent));
    const process = /"process":(\d+)/.exec(line ?? "")?.[1];
    if (process !== undefined) return { process: Number(process), ask, socket };
    await Bun.sleep(5);
  }
  throw new Error("the log does not name the process of a request");
}

/** The ids of the processes that a process has started and that still run. */
export function childrenOf(pid: number): number[] {
  const ids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return ids.map(Number).filter((id) => parentOf(id) === pid);
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" ? undefined : Number(parent);
  } catch {
    return undefined;
  }
}

export function isRunning(pid: number): boolean {
  return parentOf(pid) !== undefined;
}
