// The clients of the end-to-end tests: Python with pinned conda tools, installed once and kept, and curl.

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { z } from "zod";

import { leaveOut } from "../support/left-out.ts";
import { cachedFolder } from "./cache.ts";
import { output, PATH, run } from "./run.ts";

/** One user's machine: its own home, caches and credentials, shared by the runs that should share them. */
export type Machine = {
  readonly home: string;
  /** py-rattler's credentials by host name; `undefined` removes them. */
  signIn(secrets: Readonly<Record<string, Secret>> | undefined): Promise<void>;
  remove(): Promise<void>;
};

export type Secret =
  | { readonly BasicHTTP: { readonly username: string; readonly password: string } }
  | { readonly BearerToken: string }
  | { readonly CondaToken: string };

export type CurlAnswer = { readonly status: number; readonly body: string };

const PYTHON_SCRIPTS = join(import.meta.dir, "python");
const REQUIREMENTS = join(import.meta.dir, "requirements.txt");

let interpreter: Promise<string | undefined> | undefined;

/** Whether the clients are available; otherwise prints the reason in one line, and fails in CI. */
export async function haveClients(): Promise<boolean> {
  return (await findPython()) !== undefined;
}

/** Runs `python/SCRIPT` on a machine and returns the line of JSON that it prints; throws its output when it fails. */
export async function python<T>(
  script: string,
  args: readonly string[],
  answer: z.ZodType<T>,
  machine?: Machine,
): Promise<T> {
  const command = await findPython();
  if (command === undefined) throw new Error("there is no Python here");
  const own = machine ?? (await createMachine());
  const env = {
    HOME: own.home,
    RATTLER_CACHE_DIR: join(own.home, "cache"),
    RATTLER_AUTH_FILE: join(own.home, "auth.json"),
    PYTHONDONTWRITEBYTECODE: "1",
  };
  try {
    const printed = await output([command, join(PYTHON_SCRIPTS, script), ...args], { cwd: own.home, env });
    return answer.parse(JSON.parse(printed.trimEnd().split("\n").at(-1) ?? ""));
  } finally {
    if (machine === undefined) await own.remove();
  }
}

export async function createMachine(): Promise<Machine> {
  const home = await mkdtemp(join(tmpdir(), "condarium-client-"));
  const signIn: Machine["signIn"] = async (secrets) => {
    await Bun.write(join(home, "auth.json"), JSON.stringify(secrets ?? {}));
  };
  await signIn(undefined);
  await mkdir(join(home, "cache"));
  return { home, signIn, remove: () => rm(home, { recursive: true, force: true }) };
}

/** Runs the real curl; a response of any status is a result, only a failed transfer throws. */
export async function curl(...args: readonly string[]): Promise<CurlAnswer> {
  // `--disable` has to be the first option: it keeps curl from reading its configuration file.
  const printed = await output([
    "curl",
    "--disable",
    "--silent",
    "--show-error",
    "--noproxy",
    "*",
    "--max-time",
    "30",
    "--write-out",
    "\n%{http_code}",
    ...args,
  ]);
  const end = printed.lastIndexOf("\n");
  return { status: Number(printed.slice(end + 1)), body: printed.slice(0, end) };
}

function findPython(): Promise<string | undefined> {
  interpreter ??= makePython().catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    if (process.env["CI"] !== undefined) throw new Error(`the conda clients are missing: ${reason}`, { cause: error });
    leaveOut("the conda clients", reason.split("\n", 1)[0] ?? "");
    return undefined;
  });
  return interpreter;
}

async function makePython(): Promise<string> {
  for (const tool of ["curl", "python3"]) {
    if (Bun.which(tool, { PATH }) === null) throw new Error(`there is no ${tool}`);
  }
  const version = await output(["python3", "--version"]);
  const folder = await cachedFolder("python", [version, await Bun.file(REQUIREMENTS).text()], async (draft) => {
    await output(["python3", "-m", "venv", draft]);
    const pip = [join(draft, "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    const installed = await run([...pip, "--only-binary", ":all:", "--requirement", REQUIREMENTS], {
      // Proxies and mirrors of this machine are pip's to use.
      env: Object.fromEntries(Object.entries(process.env).flatMap(([key, value]) => (value ? [[key, value]] : []))),
      timeoutMs: 300_000,
    });
    if (installed.code !== 0) throw new Error(`pip failed: ${installed.stderr}`);
  });
  return join(folder, "bin/python");
}
