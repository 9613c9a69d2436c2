// The processes that the benchmark starts; each is ended by its own handle, also when the benchmark is interrupted.

import { connect } from "node:net";

const running = new Set<Bun.Subprocess>();

export type Started = { readonly pid: number; readonly exited: Promise<number>; stop(): Promise<void> };

/** Starts a process that runs until it is stopped; its output is written to a file. */
export function startProcess(command: readonly string[], options: { cwd: string; log: string }): Started {
  const child = Bun.spawn([...command], {
    cwd: options.cwd,
    env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", HOME: options.cwd },
    stdin: "ignore",
    stdout: "ignore",
    stderr: Bun.file(options.log),
  });
  running.add(child);
  void child.exited.then(() => running.delete(child));
  return { pid: child.pid, exited: child.exited, stop: () => stop(child) };
}

/** Runs a script of this folder in a separate process, and returns the JSON it prints. */
export async function runScript(
  script: string,
  options: object,
  timeoutMs = 600_000,
  environment: Readonly<Record<string, string>> = {},
): Promise<unknown> {
  const command = [process.execPath, Bun.fileURLToPath(script), JSON.stringify(options)];
  const env = { ...process.env, ...environment };
  const child = Bun.spawn(command, { env, stdin: "ignore", stdout: "pipe", stderr: "inherit", timeout: timeoutMs });
  running.add(child);
  const [text, code] = await Promise.all([child.stdout.text(), child.exited]);
  running.delete(child);
  if (code !== 0) throw new Error(`${script} ended with ${code}`);
  return JSON.parse(text);
}

export async function stopAll(): Promise<void> {
  await Promise.all([...running].map(stop));
}

/** A port that was free just before. */
export function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

/** Resolves once a server listens. */
export async function listening(port: number, process: Started): Promise<void> {
  const ended = process.exited.then((code) => {
    throw new Error(`a server ended with ${code} instead of listening`);
  });
  for (let tries = 0; tries < 1000; tries += 1) {
    if (await Promise.race([accepts(port), ended])) return;
    await Bun.sleep(10);
  }
  throw new Error(`nobody listens on port ${port}`);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const settle = (isOpen: boolean): void => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}

async function stop(child: Bun.Subprocess): Promise<void> {
  const limit = setTimeout(() => child.kill("SIGKILL"), 10_000);
  child.kill("SIGTERM");
  await child.exited;
  clearTimeout(limit);
}
