// A server program of this machine for tests: it ends with the test process, whatever ends that, and so do its files.
// By hand: testcontainers needs a container engine, and execa only ends its programs when this process ends in order.

import { closeSync, mkdtempSync, openSync, readFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type PrivateServer = {
  readonly pid: number;
  /** Sends the signal to the program and to the processes it has started. */
  signalAll(signal: NodeJS.Signals): void;
  /** Sends the signal to the program, and waits until it has ended. */
  end(signal: NodeJS.Signals): Promise<void>;
};

export type PrivateServerParts = {
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** The program runs as this user; the test process must be root's. */
  readonly user?: string | undefined;
  /** Takes the output of all starts. */
  readonly logFile: string;
  /** Whether the process of this id, the program's, takes connections. */
  isReady(pid: number): Promise<boolean>;
};

const START_MS = 30_000;

/** Starts the program, and waits until it is ready. Fails with its output when it ends before, or after 30 s. */
export async function startPrivateServer(parts: PrivateServerParts): Promise<PrivateServer> {
  const { command, environment = {}, user, logFile, isReady } = parts;
  const log = openSync(logFile, "a");
  const child = Bun.spawn([...tied(user), ...command], {
    env: { PATH: process.env["PATH"] ?? "", ...environment },
    stdin: "ignore",
    stdout: log,
    stderr: log,
  });
  closeSync(log);
  child.unref();
  for (const until = performance.now() + START_MS; !(await isReady(child.pid)); await Bun.sleep(10)) {
    const isLate = performance.now() > until;
    if (isLate) child.kill("SIGKILL");
    if (isLate || child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`${command[0]} did not start: ${readFileSync(logFile, "utf8").slice(-2000)}`);
    }
  }
  return {
    pid: child.pid,
    signalAll: (signal) => [child.pid, ...childrenOf(child.pid)].forEach((pid) => signalTo(pid, signal)),
    end: async (signal) => {
      child.kill(signal);
      await child.exited;
    },
  };
}

/** What is put before a command so that the kernel ends it with this process: at once, and without a word from us. */
export function tied(user?: string): string[] {
  const setpriv = Bun.which("setpriv");
  if (setpriv === null) return [];
  return [
    setpriv,
    ...(user === undefined ? [] : ["--reuid", user, "--regid", user, "--init-groups"]),
    "--pdeathsig",
    "QUIT",
  ];
}

/** A temporary folder that goes when this process ends: `bun test` runs no handlers of `exit`, so a shell waits for that. */
export function privateFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `condarium-${name}-`));
  // The second time for what a server that is ending still wrote.
  const script = 'cat; rm -rf "$1"; sleep 1; rm -rf "$1"';
  const options = { stdin: "pipe", stdout: "ignore", stderr: "ignore", cwd: "/", detached: true } as const;
  Bun.spawn(["sh", "-c", script, "sh", folder], options).unref();
  return folder;
}

/** A port of 127.0.0.1 that nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<unknown>((resolve) => void server.close(resolve));
  return port;
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}
