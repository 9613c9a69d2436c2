// Rounds of power cuts on one data folder: after each, the next server must have everything that was acknowledged.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { derivedDataIsLetGo } from "../app.ts";
import { copyClosedFolder } from "../copy-folder.ts";
import { below, generator } from "../history.ts";
import { condarium, serve, type ServerProcess } from "../server-process.ts";
import { runs } from "../system.ts";
import { createCuttableDisk } from "./cuttable-disk.ts";
import { createLedger, type Ledger } from "./ledger.ts";
import { newItems, OWNER, prepare, runLoad } from "./load.ts";
import { readBack } from "./read-back.ts";

const DISK_MIB = 256;
/** ms for which the server runs on without power: what it acknowledges then is lost. */
const WITHOUT_POWER_MS = 100;
const PATIENCE_MS = 20_000;

export type PowerCuts = {
  readonly ledger: Ledger;
  /** Runs a server under load, cuts the power, and checks what the disk kept. */
  cut(seed: number): Promise<void>;
  remove(): Promise<void>;
};

/** Undefined where no disk can be cut. */
export async function createPowerCuts(): Promise<PowerCuts | undefined> {
  const disk = await createCuttableDisk(DISK_MIB);
  if (!disk) return undefined;
  const folder = join(disk.folder, "data");
  const template = await mkdtemp(join(tmpdir(), "condarium-template-"));
  // Prepared elsewhere, because this process can keep files open that would hold the disk.
  const token = await prepare(template);
  await derivedDataIsLetGo(template);
  await copyClosedFolder(template, folder);
  await rm(template, { recursive: true });
  if (!runs("sync", "-f", disk.folder)) throw new Error("the copy cannot be synced");
  const ledger = createLedger(newItems());
  let running: ServerProcess | undefined;

  async function check(seed: number): Promise<void> {
    const server = await serve(folder);
    const level = seed % 20 === 0 ? "--deep" : "--full";
    const [verified] = await Promise.all([
      condarium(["verify", level, "--data", folder]),
      readBack(server.url, OWNER, ledger),
    ]);
    if (verified.code !== 0) ledger.problems.push(`verify found ${verified.stdout}${verified.stderr}`);
    await server.end("SIGTERM");
  }

  return {
    ledger,
    cut: async (seed) => {
      const random = generator(seed + 1);
      const server = await serve(folder);
      running = server;
      const end = new AbortController();
      const working = runLoad({ url: server.url, token, ledger, seed, signal: end.signal, cuts: true });
      // A collector that has lost its disk fails, and its exit code says nothing.
      const collecting = random() < 0.4 ? condarium(["gc", "--grace", "0", "--data", folder]) : undefined;
      await publishes(ledger, 3 + below(random, 8));
      await Bun.sleep(below(random, 50));
      disk.cut();
      await Bun.sleep(WITHOUT_POWER_MS);
      await server.end("SIGKILL");
      end.abort();
      await Promise.all([working, collecting]);
      await disk.restart();
      await check(seed);
    },
    remove: async () => {
      running?.child.kill("SIGKILL");
      await disk.remove();
    },
  };
}

/** Waits for this many more acknowledged publishes, whatever the speed of the machine. */
async function publishes({ answers }: Ledger, count: number): Promise<void> {
  const enough = (answers.get("publish 201") ?? 0) + count;
  for (let waited = 0; waited < PATIENCE_MS && (answers.get("publish 201") ?? 0) < enough; waited += 5)
    await Bun.sleep(5);
}
