// Runs a command to its end, with a time limit, in an environment that contains only the given variables.

export type RunOptions = {
  readonly cwd?: string;
  /** The complete environment except `PATH`. */
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly timeoutMs?: number;
};

export type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };

export const PATH = process.env["PATH"] ?? "/usr/bin:/bin";

export async function run(command: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { cwd = "/", env = {}, input = "", timeoutMs = 60_000 } = options;
  const child = Bun.spawn([...command], {
    cwd,
    env: { PATH, ...env },
    stdin: Buffer.from(input),
    stdout: "pipe",
    stderr: "pipe",
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  const code = await child.exited;
  const limit = child.signalCode === "SIGKILL" ? `\nended by SIGKILL; its limit was ${timeoutMs} ms` : "";
  return { code, stdout, stderr: stderr + limit };
}

/** Runs a command that has to succeed and returns its output. */
export async function output(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const ran = await run(command, options);
  if (ran.code !== 0) {
    throw new Error(`${command.join(" ")} ended with ${ran.code}\n${ran.stderr}${ran.stdout}`);
  }
  return ran.stdout;
}
