// Rounds of `kill -9` on one data folder: clients work, the server or a command beside it dies at a failpoint or at a
// random moment, and the next server must have everything that was acknowledged.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { failpointsInSource, withFailpoints } from "../crashing.ts";
import { below, generator, type Random } from "../history.ts";
import { endLeases } from "../rows.ts";
import { condarium, serve, type ServerProcess } from "../server-process.ts";
import { createLedger, type Ledger } from "./ledger.ts";
import { newItems, OWNER, prepare, runLoad, SCRATCH } from "./load.ts";
import { etagsOf, readBack } from "./read-back.ts";

/** ms in which a failpoint must be reached under load. */
const PATIENCE_MS = 20_000;
/** The server is killed at the Nth pass of a failpoint, up to this one. */
const MOST_PASSES = 12;
const REBUILD_EVERY = 7;
const DEEP_EVERY = 20;
const AT_RANDOM = "a random moment";

export type KillRounds = {
  /** All failpoints of the source. */
  readonly points: readonly string[];
  /** Those that have killed a process so far. */
  readonly reached: ReadonlySet<string>;
  readonly ledger: Ledger;
  /** Checks what the round before left, then kills. The seed decides where; consecutive seeds reach every failpoint. */
  run(seed: number): Promise<void>;
  /** Checks what the last round left. */
  finish(): Promise<void>;
  remove(): Promise<void>;
};

type Room = {
  readonly folder: string;
  /** Beside the data: a backup, and the folder it is restored to. */
  readonly backup: string;
  readonly restored: string;
  readonly token: string;
  readonly ledger: Ledger;
  readonly reached: Set<string>;
  running?: ServerProcess;
};

export async function createKillRounds(): Promise<KillRounds> {
  const root = await mkdtemp(join(tmpdir(), "condarium-kills-"));
  const folder = join(root, "data");
  const room: Room = {
    folder,
    backup: join(root, "backup"),
    restored: join(root, "restored"),
    token: await prepare(folder),
    ledger: createLedger(newItems()),
    reached: new Set(),
  };
  const points = await failpointsInSource();
  const targets = [...points, AT_RANDOM];
  return {
    points,
    reached: room.reached,
    ledger: room.ledger,
    run: async (seed) => {
      if (seed % REBUILD_EVERY === 0) await rebuild(room);
      await oneRound(room, targets[seed % targets.length] ?? AT_RANDOM, seed);
    },
    finish: async () => {
      const server = await serve(folder);
      await check(room, server, "--deep");
      await server.end("SIGTERM");
    },
    remove: async () => {
      room.running?.child.kill("SIGKILL");
      await rm(root, { recursive: true, force: true });
    },
  };
}

async function oneRound(room: Room, target: string, seed: number): Promise<void> {
  const random = generator(seed + 1);
  const dies = whoDies(target);
  const server = await serve(room.folder, [], dies === "server" ? withFailpoints(killAt(target, random)) : []);
  room.running = server;
  await check(room, server, seed % DEEP_EVERY === 0 ? "--deep" : "--full");
  const end = new AbortController();
  const deleteScratch =
    random() < 0.3 ? () => succeeds("channel", "delete", `${OWNER}/${SCRATCH}`, "--yes") : undefined;
  const succeeds = async (...args: string[]): Promise<boolean> =>
    (await condarium([...args, "--data", room.folder])).code === 0;
  const { token, ledger } = room;
  const working = runLoad({ url: server.url, token, ledger, seed, signal: end.signal, cuts: true, deleteScratch });
  const collecting = random() < 0.3 ? mustSucceed(room, ["gc", "--grace", "0", "--data", room.folder]) : undefined;
  if (dies === "server") await serverDies(room, server, target);
  else {
    if (dies !== "nobody") await commandDies(room, dies, target);
    await Bun.sleep(50 + below(random, 300));
    server.child.kill("SIGKILL");
  }
  await server.child.exited;
  end.abort();
  await Promise.all([working, collecting]);
}

type Command = { readonly args: readonly string[]; readonly after?: () => Promise<void> };

function whoDies(target: string): "server" | "nobody" | "gc" | "backup" | "restore" {
  if (target === AT_RANDOM) return "nobody";
  if (target.includes(".gc_")) return "gc";
  return target.startsWith("b") ? "backup" : target.startsWith("r") ? "restore" : "server";
}

function killAt(target: string, random: Random): string {
  return `${target}=kill@${1 + below(random, MOST_PASSES)}`;
}

async function serverDies({ ledger, reached }: Room, server: ServerProcess, target: string): Promise<void> {
  const isDead = await Promise.race([server.child.exited.then(() => true), Bun.sleep(PATIENCE_MS).then(() => false)]);
  if (isDead) reached.add(target);
  else server.child.kill("SIGKILL");
  if (isDead && server.child.signalCode !== "SIGKILL")
    ledger.problems.push(`the server ended by itself: ${server.stderr()}`);
}

/** Runs the command until its failpoint kills it, then once more to its end. */
async function commandDies(room: Room, name: "gc" | "backup" | "restore", target: string): Promise<void> {
  const { args, after } = commandOf(room, name);
  const isBackedUp = await Bun.file(join(room.backup, "backup.json")).exists();
  if (name === "restore" && !isBackedUp) await mustSucceed(room, commandOf(room, "backup").args);
  const started = performance.now();
  while (performance.now() - started < PATIENCE_MS) {
    const { code, stderr } = await condarium(args, {}, { under: withFailpoints(`${target}=kill`) });
    if (code === 137) {
      room.reached.add(target);
      break;
    }
    // A collector that has nothing to collect passes no failpoint.
    if (code !== 0) room.ledger.problems.push(`condarium ${args.join(" ")} ended with ${code}: ${stderr}`);
  }
  endLeases(room.folder);
  // A restore that has put its database in place is complete, and would refuse the folder.
  const isComplete = name === "restore" && (await Bun.file(join(room.restored, "condarium.db")).exists());
  if (!isComplete) await mustSucceed(room, args);
  await after?.();
}

function commandOf(room: Room, name: "gc" | "backup" | "restore"): Command {
  const { folder, backup, restored } = room;
  if (name === "gc") return { args: ["gc", "--grace", "0", "--data", folder] };
  if (name === "backup") {
    const after = () => mustSucceed(room, ["verify", "--backup", backup]);
    return { args: ["backup", backup, "--data", folder], after };
  }
  const after = async (): Promise<void> => {
    await mustSucceed(room, ["verify", "--full", "--data", restored]);
    await rm(restored, { recursive: true });
  };
  return { args: ["restore", backup, "--data", restored], after };
}

async function mustSucceed({ ledger }: Room, args: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await condarium(args);
  if (code !== 0) ledger.problems.push(`condarium ${args.join(" ")} ended with ${code}: ${stdout}${stderr}`);
}

/** On a server without clients. */
async function check(room: Room, server: ServerProcess, level: "--full" | "--deep"): Promise<void> {
  await Promise.all([
    readBack(server.url, OWNER, room.ledger),
    mustSucceed(room, ["verify", level, "--data", room.folder]),
  ]);
}

/** Without its derived data, the server builds the same documents again. */
async function rebuild(room: Room): Promise<void> {
  const before = await etagsOfFolder(room);
  for (const name of ["index.db", "index.db-wal", "index.db-shm", "derived", "shards"])
    await rm(join(room.folder, name), { recursive: true, force: true });
  const after = await etagsOfFolder(room);
  if (!Bun.deepEquals(before, after))
    room.ledger.problems.push(`other ETags after a rebuild: ${JSON.stringify({ before, after })}`);
}

async function etagsOfFolder({ folder, ledger }: Room): Promise<Record<string, string>> {
  const server = await serve(folder);
  const etags = await etagsOf(server.url, OWNER, ledger);
  await server.end("SIGTERM");
  return etags;
}
