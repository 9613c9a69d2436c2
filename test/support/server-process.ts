// `condarium` as a separate process, from the source: for signals, exit codes and output.

import { join } from "node:path";
import { enginesOf } from "./engines.ts";

export type ServerProcess = {
  readonly url: string;
  readonly port: number;
  readonly child: Bun.Subprocess<"ignore" | Uint8Array, "pipe", "pipe">;
  /** Its output so far. */
  stdout(): string;
  stderr(): string;
  /** Closes the parent's ends of both streams. */
  closeOutput(): Promise<void>;
  /** Sends the signal, and returns the exit code and the ms until the exit. */
  end(signal: NodeJS.Signals): Promise<{ readonly code: number; readonly ms: number }>;
};

export type Ended = { readonly code: number; readonly stdout: string; readonly stderr: string };

const MAIN = join(import.meta.dir, "../../src/main.ts");

/** Starts a server on a free port, `under` another program if given, and waits until it listens. */
export async function serve(
  folder: string,
  more: readonly string[] = [],
  under: readonly string[] = [],
): Promise<ServerProcess> {
  const environment = await environmentOf(folder, more);
  const child = spawn(
    ["serve", "--data", folder, "--listen", "127.0.0.1:0", "--min-free-space", "1MiB", ...more],
    environment,
    under,
  );
  const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
  while (child.exitCode === null && child.signalCode === null) {
    const url = /"url":"([^"]+)"/.exec(stderr.text())?.[1];
    if (url !== undefined) {
      return {
        url,
        port: Number(new URL(url).port),
        child,
        stdout: stdout.text,
        stderr: stderr.text,
        closeOutput: async () => void (await Promise.all([stdout.close(), stderr.close()])),
        end: (signal) => end(child, signal),
      };
    }
    await Bun.sleep(5);
  }
  throw new Error(`the server did not start: ${stderr.text()}`);
}

/** Runs one command to its end, `under` another program if given. */
export async function condarium(
  args: readonly string[],
  env: Record<string, string> = {},
  options: { readonly under?: readonly string[]; readonly input?: string } = {},
): Promise<Ended> {
  const { under = [], input } = options;
  const at = args.indexOf("--data");
  const isChosen = at === -1 || "CONDARIUM_DATABASE" in env;
  const environment = await environmentOf(isChosen ? undefined : args[at + 1], args);
  const bytes = input === undefined ? "ignore" : new TextEncoder().encode(input);
  const child = spawn(args, { ...environment, ...env }, under, bytes);
  const [code, stdout, stderr] = await Promise.all([
    child.exited,
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code, stdout, stderr };
}

/** Nothing for a command that has no data folder, or names its database. */
async function environmentOf(
  folder: string | undefined,
  args: readonly string[],
): Promise<Readonly<Record<string, string>>> {
  if (folder === undefined || args.includes("--database")) return {};
  return (await enginesOf(folder)).environment;
}

async function end(child: ServerProcess["child"], signal: NodeJS.Signals): Promise<{ code: number; ms: number }> {
  const started = performance.now();
  child.kill(signal);
  return { code: await child.exited, ms: performance.now() - started };
}

function spawn(
  args: readonly string[],
  env: Record<string, string>,
  under: readonly string[] = [],
  input: "ignore" | Uint8Array = "ignore",
): Bun.Subprocess<"ignore" | Uint8Array, "pipe", "pipe"> {
  const command = [...under, process.execPath, MAIN, ...args];
  return Bun.spawn(command, { env, stdin: input, stdout: "pipe", stderr: "pipe" });
}

type Collected = { text(): string; close(): Promise<void> };

function collect(stream: ReadableStream<Uint8Array>): Collected {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let text = "";
  void (async () => {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      text += decoder.decode(part.value, { stream: true });
    }
  })();
  return { text: () => text, close: () => reader.cancel() };
}
