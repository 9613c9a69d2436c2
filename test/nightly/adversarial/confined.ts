// A server with a limit of memory, with a hostile and an honest user.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../bench/processes.ts";
import { condariumCommand } from "../../e2e/server.ts";
import { output, PATH } from "../../e2e/run.ts";
import { createMemoryCgroup, type MemoryCgroup } from "../../support/memory-cgroup.ts";
import { residentBytes } from "../../support/memory.ts";

export type Confined = {
  readonly url: string;
  readonly port: number;
  readonly cgroup: MemoryCgroup;
  readonly tokens: { readonly mallory: string; readonly alice: string };
  isAlive(): boolean;
  resident(): number;
  stop(): Promise<void>;
};

const FLAGS = ["--min-free-space", "1MiB"];

/** Undefined where no group of processes with a limit of memory can be created. */
export async function startConfined(bytes: number): Promise<Confined | undefined> {
  const cgroup = createMemoryCgroup(bytes);
  if (!cgroup) return undefined;
  const folder = await mkdtemp(join(tmpdir(), "condarium-confined-"));
  const env = { PATH, HOME: folder };
  const port = freePort();
  const data = ["--data", join(folder, "data")];
  const listen = ["--listen", `127.0.0.1:${port}`];
  const child = Bun.spawn([...cgroup.under, ...condariumCommand(), "serve", ...data, ...listen, ...FLAGS], {
    cwd: folder,
    env,
    stdin: "ignore",
    stdout: "ignore",
    stderr: Bun.file(join(folder, "log")),
  });
  const url = `http://127.0.0.1:${port}`;
  const stop = async (): Promise<void> => {
    const limit = setTimeout(() => child.kill("SIGKILL"), 20_000);
    child.kill("SIGTERM");
    await child.exited;
    clearTimeout(limit);
    cgroup.remove();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const isAlive = (): boolean => child.exitCode === null && child.signalCode === null;
  try {
    await ready(url, isAlive);
    const condarium = (args: readonly string[], input = ""): Promise<string> =>
      output([...condariumCommand(), ...args, ...data], { env: { HOME: folder }, input });
    const tokenOf = async (name: string): Promise<string> => {
      await condarium(["user", "create", name, "--password-stdin"], `secret of ${name}, long enough`);
      return (await condarium(["token", "create", name, "--name", "all", "--scope", "all"])).trim();
    };
    const tokens = { mallory: await tokenOf("mallory"), alice: await tokenOf("alice") };
    return { url, port, cgroup, tokens, isAlive, resident: () => residentBytes(child.pid) ?? 0, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function ready(url: string, isAlive: () => boolean): Promise<void> {
  for (let waited = 0; waited < 1000 && isAlive(); waited += 1) {
    const answer = await fetch(`${url}/health/ready`).catch(() => undefined);
    if (answer?.ok) return;
    await Bun.sleep(20);
  }
  throw new Error("the server is not ready");
}
