// A name with more records than one step can process is updated in parts, and equals one built at once.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Database, Transaction } from "../../../../src/models/database.ts";
import { openDatabase } from "../../../../src/models/open-database.ts";
import { systemClock, type Clock } from "../../../../src/modules/clock.ts";
import { COMMAND_LINE } from "../../../../src/services/actor.ts";
import { findChannelRef } from "../../../../src/services/channel-ref.ts";
import { condaIndex } from "../../../../src/services/conda/index-format.ts";
import { PLAIN_VIEW, WHOLE_CHANNEL } from "../../../../src/services/index/documents.ts";
import { documentsOf } from "../../../../src/services/index/repair/rebuild.ts";
import { createPackages, type FileRef } from "../../../../src/services/packages.ts";
import { builderHere } from "../../../support/index-builders.ts";
import { sourceOf } from "../../../support/rows.ts";
import { seedWorstChannel, worstFile, type WorstChannel } from "../../../support/worst-channels.ts";

setDefaultTimeout(120_000);

const KIB = 1024;
const WORST: WorstChannel = { names: 3, files: 12, record: 100 * KIB, runExports: 0, text: "repeated" };
const SHORT: WorstChannel = { names: 1, files: 1, record: 3 * KIB, runExports: 100 };
const ADDRESS = { title: "busy/main", url: "https://conda.example/busy/main" };
const PLACES = [
  ...documentsOf(condaIndex, "noarch").map((name) => ({ section: "noarch", name })),
  ...documentsOf(condaIndex, WHOLE_CHANNEL).map((name) => ({ section: WHOLE_CHANNEL, name })),
];

let folder: string;
let database: Database;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-long-"));
  await seedWorstChannel(folder, WORST);
  database = await openDatabase(sourceOf(folder), { clock: systemClock, create: false });
});
afterAll(async () => {
  await database.close();
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

const packages = createPackages({ clock: systemClock });

async function change(
  work: (tx: Transaction, place: (fileName: string) => FileRef) => Promise<unknown>,
): Promise<void> {
  await database.transact(async (tx) => {
    const found = await findChannelRef(tx, "busy", "main");
    const { channel } = found ?? {};
    if (!found || !channel) throw new Error("the channel has gone");
    await work(tx, (fileName) => ({ owner: found.owner, channel, section: "noarch", fileName }));
  });
}

const add =
  (worst: WorstChannel, name: string, file: number): Parameters<typeof change>[0] =>
  (tx, place) =>
    packages.addFile(tx, place(""), worstFile(worst, name, file), COMMAND_LINE);
const remove =
  (fileName: string): Parameters<typeof change>[0] =>
  (tx, place) =>
    packages.removeFile(tx, place(fileName), COMMAND_LINE);
const yank =
  (fileName: string): Parameters<typeof change>[0] =>
  (tx, place) =>
    packages.setState(tx, place(fileName), "yanked", COMMAND_LINE, "a test");

/** Every check of the clock is late: each step is as small as possible. */
function impatientClock(): Clock {
  let elapsed = 0;
  return { ...systemClock, elapsed: () => (elapsed += 30) };
}

type Built = { readonly hashes: readonly unknown[]; readonly steps: number };

type Between = { readonly name: string; readonly step: number; readonly work: () => Promise<void> };

async function buildAll(to: string, clock: Clock, between?: Between): Promise<Built> {
  const builder = builderHere(folder, to, clock);
  try {
    const hashes: unknown[] = [];
    let steps = 0;
    for (const place of PLACES) {
      let reply = await builder.build({ channelId: 1, view: PLAIN_VIEW, address: ADDRESS, ...place });
      for (let step = 0; reply.kind === "more"; step += 1) {
        steps += 1;
        if (reply.isWaiting) await Bun.sleep(1);
        if (place.name === between?.name && step === between.step) await between.work();
        reply = await builder.build({ channelId: 1, view: PLAIN_VIEW, address: ADDRESS, ...place });
      }
      expect([place.name, reply.kind]).toEqual([place.name, place.name.endsWith("json.bz2") ? "absent" : "built"]);
      hashes.push([place.name, reply.kind === "built" ? reply.hash : reply]);
    }
    return { hashes, steps };
  } finally {
    await builder.close();
  }
}

async function fromNothing(): Promise<Built> {
  const fresh = await mkdtemp(join(folder, "fresh-"));
  const built = await buildAll(fresh, { ...systemClock, elapsed: () => 0 });
  await rm(fresh, { recursive: true, force: true });
  return built;
}

const HISTORY: readonly (readonly [string, Parameters<typeof change>[0]])[] = [
  ["at first", async () => {}],
  ["a file more in the middle of a long name", add(WORST, "n1", 100)],
  ["a short name before a long one", add(SHORT, "n0a", 0)],
  ["a short name behind all", add(SHORT, "z", 0)],
  ["the first file of a long name removed", remove("n1-1.0-0.conda")],
  ["the last file of the last long name removed", remove("n2-1.9-0.conda")],
  ["a yanked file", yank("n0-1.3-0.conda")],
  [
    "a long name gone",
    async (tx, place) => {
      for (let file = 0; file < WORST.files; file += 1)
        await packages.removeFile(tx, place(`n2-1.${file}-0.conda`), COMMAND_LINE).catch(() => {});
    },
  ],
  [
    "a long name come back",
    async (tx, place) => {
      for (let file = 0; file < WORST.files; file += 1)
        await packages.addFile(tx, place(""), worstFile(WORST, "n1b", file), COMMAND_LINE);
    },
  ],
];

test("documents with long names equal a full build after every change, in the smallest steps", async () => {
  const kept = await mkdtemp(join(folder, "kept-"));
  for (const [what, work] of HISTORY) {
    await change(work);
    const { hashes, steps } = await buildAll(kept, impatientClock());
    const fresh = await fromNothing();
    expect([what, hashes]).toEqual([what, fresh.hashes]);
    expect([what, steps > 10]).toEqual([what, true]);
  }
});

test("documents with long names equal a full build when a change arrives between two steps", async () => {
  const kept = await mkdtemp(join(folder, "kept-"));
  await buildAll(kept, impatientClock());
  // While a long name is partly done, after one is done, and while documents are composed.
  const moments: [name: string, step: number][] = [1, 5, 9, 13, 17, 21, 25].map((step) => ["repodata.json", step]);
  moments.push(["repodata_shards.msgpack.zst", 8], ["repodata_shards.msgpack.zst", 16]);
  for (const [name, step] of moments) {
    await change(add(WORST, "n0", 300 + step));
    await change(add(WORST, "n1", 300 + step));
    const work = async (): Promise<void> => {
      await change(remove(`n0-1.${300 + step}-0.conda`));
      await change(add(SHORT, `n0${step}`, 0));
    };
    let { hashes } = await buildAll(kept, impatientClock(), { name, step, work });
    // Documents built before the change are older than it.
    if (name !== "repodata.json") ({ hashes } = await buildAll(kept, impatientClock()));
    expect([name, step, hashes]).toEqual([name, step, (await fromNothing()).hashes]);
  }
});

test("the parts of a document do not change until it is complete", async () => {
  const kept = await mkdtemp(join(folder, "kept-"));
  await buildAll(kept, impatientClock());
  await change(add(WORST, "n1", 500));
  const builder = builderHere(folder, kept, impatientClock());
  const ask = (name: "repodata.json" | "repodata.json.zst") =>
    builder.build({ channelId: 1, view: PLAIN_VIEW, address: ADDRESS, section: "noarch", name, atLeast: 1 });
  let [waited, version] = [0, 500];
  let first = await ask("repodata.json");
  for (; first.kind === "more"; first = await ask("repodata.json")) {
    await change(add(SHORT, "busy", (version += 1)));
    const other = await ask("repodata.json.zst");
    if (other.kind === "more" && other.isWaiting) waited += 1;
    else if (waited > 0) throw new Error("it has changed");
  }
  expect([first.kind, waited > 3]).toEqual(["built", true]);
  await builder.close();
});
