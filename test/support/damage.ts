// Damages one file or folder of a data folder in one way, runs a command on it, and judges how the command ended.

import { chmod, chown, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { derivedDataIsLetGo, startTestApp } from "./app.ts";
import { copyClosedFolder } from "./copy-folder.ts";
import { buildPackage } from "./package-builder.ts";
import { canMountHere, runs } from "./system.ts";

const MAIN = join(import.meta.dir, "../../src/main.ts");
const NOBODY = 65_534;
const GARBAGE = "this was something else once. ".repeat(300);
const AT_ONCE = 3;
const isRoot = process.getuid?.() === 0;
const canMount = await canMountHere();

/** The entries of a data folder. */
const FILES = ["condarium.db", "condarium.db-wal", "condarium.db-shm", "index.db", "lock", "layout"];
const FOLDERS = ["blobs", "files", "shards", "derived", "tmp"];

export const COMMANDS: readonly (readonly string[])[] = [
  ["serve"],
  ["user", "list"],
  ["user", "create", "bob"],
  ["user", "disable", "alice"],
  ["token", "create", "alice", "--name", "t"],
  ["token", "list", "alice"],
  ["channel", "list"],
  ["channel", "create", "alice/other"],
  ["verify"],
  ["verify", "--full"],
  ["verify", "--deep"],
  ["reindex"],
];

type Damage = { readonly can: boolean; apply(path: string, isFolder: boolean): Promise<void> };
const DAMAGES: Readonly<Record<string, Damage>> = {
  missing: { can: true, apply: (path) => rm(path, { recursive: true, force: true }) },
  emptied: { can: true, apply: (path, isFolder) => (isFolder ? remake(path) : writeFile(path, "")) },
  garbage: { can: true, apply: (path) => replace(path, () => writeFile(path, GARBAGE)) },
  "a folder": { can: true, apply: (path) => replace(path, () => mkdir(join(path, "in it"), { recursive: true })) },
  "a link": { can: true, apply: (path) => replace(path, () => symlink("/etc/hostname", path)) },
  unreadable: { can: isRoot && Bun.which("setpriv") !== null, apply: (path, isFolder) => close(path, isFolder) },
  "read-only": { can: canMount, apply: () => Promise.resolve() },
};

export const leftOutDamages = Object.keys(DAMAGES).filter((name) => DAMAGES[name]?.can === false);

export type Case = { readonly entry: string; readonly damage: string };

/** Every entry with every kind of damage that makes sense and that this machine allows. */
export const CASES: readonly Case[] = [...FILES, ...FOLDERS].flatMap((entry) =>
  Object.keys(DAMAGES)
    .filter((damage) => DAMAGES[damage]?.can === true)
    .filter((damage) => !(FOLDERS.includes(entry) && damage === "a folder"))
    .map((damage) => ({ entry, damage })),
);

/** Entries that a server ignores or rebuilds; with damage to the others it must not start. */
const HARMLESS: Readonly<Record<string, readonly string[]>> = {
  missing: [...FILES.filter((name) => name !== "condarium.db"), ...FOLDERS],
  emptied: ["condarium.db-wal", "condarium.db-shm", "index.db", "lock", ...FOLDERS],
  garbage: ["condarium.db-shm", "index.db"],
};

/** Only `serve` reads the contents of the lock. */
function mustRefuse({ entry, damage }: Case, command: string | undefined): boolean {
  if (entry === "lock" && damage === "garbage" && command !== "serve") return false;
  return !(HARMLESS[damage] ?? []).includes(entry);
}

export type DamageRoom = {
  /** What is wrong with how the command ended, for each failed case. */
  judge(cases: readonly Case[], command: readonly string[]): Promise<string[]>;
  close(): Promise<void>;
};

export async function damageRoom(): Promise<DamageRoom> {
  const root = await mkdtemp(join(tmpdir(), "condarium-damage-"));
  await chmod(root, 0o755);
  const template = join(root, "template");
  const app = await startTestApp({ folder: template });
  const built = buildPackage({ name: "kept", version: "1" });
  const alice = await app.addUser("alice");
  await alice.put(`/api/packages/alice/conda/main/${built.fileName}`, built.bytes);
  for (const name of ["repodata.json", "repodata_shards.msgpack.zst"]) await alice.get(`/alice/main/noarch/${name}`);
  await app.close();
  await derivedDataIsLetGo(template);
  let round = 0;
  const judgeOne = async (spoiled: Case, command: readonly string[]): Promise<string | undefined> => {
    const folder = join(root, `data-${(round += 1)}`);
    await copyClosedFolder(template, folder);
    const path = join(folder, spoiled.entry);
    await DAMAGES[spoiled.damage]?.apply(path, FOLDERS.includes(spoiled.entry));
    const before = await pictureOf(folder);
    const ended = await runOn(folder, spoiled.damage, command);
    const fault = faultOf(spoiled, spoiled.damage === "read-only" ? folder : path, ended, command);
    const isRefused = ended.stderr.startsWith("condarium: ");
    const harm = isRefused ? harmOf(before, await pictureOf(folder), spoiled) : undefined;
    await rm(folder, { recursive: true, force: true });
    const faults = [fault, harm].filter((one) => one !== undefined);
    return faults.length > 0 ? `${faults.join("; ")}: ${JSON.stringify(ended)}` : undefined;
  };
  return {
    judge: async (cases, command) => {
      const wrong: string[] = [];
      const left = [...cases];
      const lane = async (): Promise<void> => {
        for (let spoiled = left.pop(); spoiled; spoiled = left.pop()) {
          const fault = await judgeOne(spoiled, command).catch((error: unknown) => `failed: ${Bun.inspect(error)}`);
          if (fault !== undefined) wrong.push(`${command.join(" ")} with ${spoiled.entry} ${spoiled.damage}: ${fault}`);
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, lane));
      return wrong;
    },
    close: () => rm(root, { recursive: true, force: true }),
  };
}

type Ended = { readonly code: number | "listens"; readonly stdout: string; readonly stderr: string };

async function runOn(folder: string, damage: string, command: readonly string[]): Promise<Ended> {
  if (damage === "read-only") {
    runs("mount", "--bind", folder, folder);
    runs("mount", "-o", "remount,bind,ro", folder);
  }
  const asNobody = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
  if (damage === "unreadable") await chownAll(folder);
  try {
    return await end([...(damage === "unreadable" ? asNobody : []), process.execPath, MAIN], folder, command);
  } finally {
    if (damage === "read-only") runs("umount", "-l", folder);
  }
}

async function end(program: readonly string[], folder: string, command: readonly string[]): Promise<Ended> {
  const flags = command[0] === "serve" ? ["--listen", "127.0.0.1:0"] : [];
  const child = Bun.spawn([...program, ...command, "--data", folder, ...flags], {
    env: {},
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const stdout = new Response(child.stdout).text();
  const decoder = new TextDecoder();
  let stderr = "";
  let url: string | undefined;
  for await (const part of child.stderr) {
    stderr += decoder.decode(part, { stream: true });
    const known = url;
    url ??= /"url":"([^"]+)"/.exec(stderr)?.[1];
    if (url === undefined || known !== undefined) continue;
    // A server that starts must be able to list its contents.
    const answer = await fetch(`${url}/alice/main/noarch/repodata.json`);
    if (!(await answer.text()).includes("kept-1-0")) stderr += "the document is wrong";
    child.kill("SIGTERM");
  }
  const code = await child.exited;
  return { code: url === undefined ? code : "listens", stdout: await stdout, stderr };
}

function faultOf(spoiled: Case, path: string, ended: Ended, command: readonly string[]): string | undefined {
  const { code, stdout, stderr } = ended;
  if (/^\s+at /m.test(stderr) || stderr.includes("unexpected error")) return "a stack";
  if (code === "listens" || code === 0 || isReport(command, ended)) {
    if (mustRefuse(spoiled, command[0])) return "it went on";
    return stderr.includes("the document is wrong") ? "it serves what it has not" : undefined;
  }
  if (code !== 1 && code !== 2) return `the exit code ${code}`;
  if (stdout !== "") return "something on standard output";
  if (!/^condarium: [^\n]+\n$/.test(stderr)) return "not one sentence";
  if (!stderr.includes(path)) return "the file is not named";
  return mustRefuse(spoiled, command[0]) ? undefined : "it could have gone on";
}

/** `verify` and `reindex` exit with 1 after they have reported findings. */
function isReport([name]: readonly string[], { code, stdout, stderr }: Ended): boolean {
  if (code !== 1 || stderr.includes("condarium:")) return false;
  return name === "verify" ? /^I-\d/.test(stdout) : name === "reindex" && stdout !== "";
}

/** Path, kind, mode and content of everything. */
async function pictureOf(folder: string): Promise<Map<string, string>> {
  const picture = new Map<string, string>();
  for (const name of (await readdir(folder, { recursive: true })).toSorted()) {
    const path = join(folder, name);
    const info = await lstat(path);
    const content = info.isFile() ? String(Bun.hash(await readFile(path))) : "";
    picture.set(name, `${info.mode.toString(8)} ${content}`);
  }
  return picture;
}

/** What a refused command has deleted or overwritten, except the files that SQLite keeps beside an open database. */
function harmOf(before: Map<string, string>, after: Map<string, string>, { entry }: Case): string | undefined {
  const isOurs = (name: string): boolean => name === entry || !/\.db-(?:wal|shm)$/.test(name);
  const changed = [...before].filter(([name, was]) => isOurs(name) && after.get(name) !== was);
  return changed.length > 0 ? `changed ${changed.map(([name]) => name).join(", ")}` : undefined;
}

async function replace(path: string, make: () => Promise<unknown>): Promise<void> {
  await rm(path, { recursive: true, force: true });
  await make();
}

async function remake(path: string): Promise<void> {
  await replace(path, () => mkdir(path, { mode: 0o700 }));
}

async function close(path: string, isFolder: boolean): Promise<void> {
  if (!(await lstat(path).catch(() => undefined))) await (isFolder ? mkdir(path) : writeFile(path, ""));
  await chmod(path, 0);
}

async function chownAll(folder: string): Promise<void> {
  await chown(folder, NOBODY, NOBODY);
  for (const name of await readdir(folder, { recursive: true })) await chown(join(folder, name), NOBODY, NOBODY);
}
