// Starts a condarium server in its own data folder: the compiled binary, or the source with CONDARIUM_TEST_SOURCE.

import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { z } from "zod";

import { PATH, type Ran, run } from "./run.ts";

export type ServerOptions = {
  /** The command to run; the binary or the source by default. */
  readonly command?: readonly string[];
  /** The server's current folder; an empty one by default. */
  readonly cwd?: string;
  /** The data folder; a new one by default. An explicit `undefined` omits `--data`. */
  readonly dataDir?: string | undefined;
  /** More arguments of `serve`. */
  readonly settings?: readonly string[];
};

export type TestServer = {
  readonly url: string;
  readonly host: string;
  readonly dataDir: string;
  readonly adminPassword: string;
  /** Its output so far: standard output, then standard error. */
  log(): string;
  /** The matching requests in its log, oldest first. */
  requests(fits: (request: LoggedRequest) => boolean): Promise<LoggedRequest[]>;
  /** Runs another command on the same data folder, beside the server. */
  condarium(args: readonly string[], input?: string): Promise<Ran>;
  createUser(name: string): Promise<{ readonly name: string; readonly password: string }>;
  createToken(user: string, ...scopes: readonly string[]): Promise<string>;
  /** Ends it as an init system would, and returns the exit code. */
  stop(): Promise<number>;
};

export type LoggedRequest = z.infer<typeof loggedRequest>;

const loggedRequest = z.object({ method: z.string(), path: z.string(), status: z.number() });

const CHECKOUT = join(import.meta.dir, "../..");
const BINARY = join(CHECKOUT, "dist/condarium");
export const fromSource = process.env["CONDARIUM_TEST_SOURCE"] !== undefined;

/** The command that runs condarium in this run. */
export function condariumCommand(): readonly string[] {
  if (fromSource) return [process.execPath, join(CHECKOUT, "src/main.ts")];
  return [builtBinary()];
}

/** `dist/condarium`, built when it is missing; rebuild it yourself after a change. */
export function builtBinary(): string {
  if (existsSync(BINARY)) return BINARY;
  const { success, stderr } = Bun.spawnSync([process.execPath, "run", "build"], { cwd: CHECKOUT });
  if (!success) throw new Error(`dist/condarium is missing, and \`bun run build\` fails: ${stderr.toString()}`);
  return BINARY;
}

export async function startServer(options: ServerOptions = {}): Promise<TestServer> {
  const command = options.command ?? condariumCommand();
  const room = await mkdtemp(join(tmpdir(), "condarium-e2e-"));
  const cwd = options.cwd ?? join(room, "cwd");
  await mkdir(join(room, "cwd"));
  const chosen = "dataDir" in options ? options.dataDir : join(room, "data");
  const dataDir = chosen ?? join(cwd, "data");
  const data = chosen === undefined ? [] : ["--data", chosen];
  const child = Bun.spawn([...command, "serve", ...data, "--listen", "127.0.0.1:0", ...(options.settings ?? [])], {
    cwd,
    env: { PATH, HOME: room },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const printed: string[] = [];
  const logged: string[] = [];
  const readers = [collect(child.stdout, printed), collect(child.stderr, logged)];
  const log = (): string => [...printed, ...logged].join("");
  const stop = async (): Promise<number> => {
    const limit = setTimeout(() => child.kill("SIGKILL"), 10_000);
    child.kill("SIGTERM");
    const code = await child.exited;
    clearTimeout(limit);
    await Promise.all(readers);
    await rm(room, { recursive: true, force: true });
    return code;
  };
  const url = await ready(child, log).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  const condarium: TestServer["condarium"] = (args, input = "") =>
    run([...command, ...args, "--data", dataDir], { cwd, env: { HOME: room }, input });
  const requests: TestServer["requests"] = async (fits) => {
    // The log line of a request is written after its response.
    await Bun.sleep(100);
    return linesIn(log(), loggedRequest).filter(fits);
  };
  const { createUser, createToken } = accounts(condarium);
  const adminPassword = passwordIn(log());
  const { host } = new URL(url);
  return { url, host, dataDir, adminPassword, log, requests, condarium, createUser, createToken, stop };
}

function accounts(condarium: TestServer["condarium"]): Pick<TestServer, "createUser" | "createToken"> {
  const must = async (args: readonly string[], input?: string): Promise<string> => {
    const ran = await condarium(args, input);
    if (ran.code !== 0) throw new Error(`condarium ${args.join(" ")} ended with ${ran.code}\n${ran.stderr}`);
    return ran.stdout.trim();
  };
  return {
    createUser: async (name) => {
      const password = `secret of ${name}, long enough`;
      await must(["user", "create", name, "--password-stdin"], password);
      return { name, password };
    },
    createToken: async (user, ...scopes) => {
      const chosen = scopes.flatMap((scope) => ["--scope", scope]);
      return must(["token", "create", user, "--name", crypto.randomUUID(), ...chosen]);
    },
  };
}

/** Returns the address once the server has printed it and is ready; its first output is complete by then. */
async function ready(child: Bun.Subprocess, log: () => string): Promise<string> {
  const deadline = performance.now() + 20_000;
  while (performance.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`condarium serve ended with ${child.exitCode}\n${log()}`);
    const url = linesIn(log(), z.object({ event: z.literal("started"), url: z.string() }))[0]?.url;
    if (url !== undefined && (await fetch(`${url}/health/ready`)).ok) return url;
    await Bun.sleep(25);
  }
  throw new Error(`condarium serve is not ready after 20 s\n${log()}`);
}

async function collect(stream: ReadableStream<Uint8Array>, into: string[]): Promise<void> {
  const decoder = new TextDecoder();
  for await (const part of stream) into.push(decoder.decode(part, { stream: true }));
}

/** The lines of JSON that match a schema. */
function linesIn<T>(log: string, shape: z.ZodType<T>): T[] {
  return log.split("\n").flatMap((line) => {
    if (!line.startsWith("{") || !line.endsWith("}")) return [];
    const parsed = shape.safeParse(JSON.parse(line));
    return parsed.success ? [parsed.data] : [];
  });
}

function passwordIn(firstOutput: string): string {
  return /password:\s+(\S+)/.exec(firstOutput)?.[1] ?? "";
}
