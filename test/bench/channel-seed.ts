// Fills a new data folder, or the database of the environment or of the tests on it, with the records of a large channel, at once or in steps.
// Only the database is filled: the records have no packages.

import { openDataFolder } from "../../src/models/data-folder.ts";
import type { Database } from "../../src/models/database.ts";
import { databaseOf, openDatabase } from "../../src/models/open-database.ts";
import { engine } from "../../src/models/schema/engine.ts";
import { systemClock as clock } from "../../src/modules/clock.ts";
import { COMMAND_LINE } from "../../src/services/actor.ts";
import { findChannelRef } from "../../src/services/channel-ref.ts";
import { createPackages, type NewFile } from "../../src/services/packages.ts";
import { enginesOf } from "../support/engines.ts";
import { channelFiles } from "./growth/channel-files.ts";
import { seedingServices } from "../support/seeded.ts";

export type ChannelSeed = {
  /** Adds files until the channel has this many; a server can run meanwhile. `onProgress` gets the current number. */
  growTo(records: number, onProgress?: (records: number) => void): Promise<void>;
};

/** Files per savepoint: SQLite walks through all pages that it would have to restore, at every statement. */
const PER_UNIT = 20;
/** Savepoints per commit, as many units as the writer commits together. */
const UNITS = 64;
const CACHE_KIB = 512 * 1024;

/** Creates the user `admin` and its empty channel `main`, whose `linux-64` will have this many records in the end. */
export async function createSeed(dataDir: string, records: number): Promise<ChannelSeed> {
  await withDatabase(dataDir, makeChannel);
  const files = channelFiles(records);
  let done = 0;
  return {
    growTo: (wanted, onProgress) =>
      withDatabase(dataDir, async (database) => {
        const add = await createAdder(database);
        while (done < wanted) {
          const units: (readonly NewFile[])[] = [];
          while (units.length < UNITS && done < wanted) {
            const unit = take(files, Math.min(PER_UNIT, wanted - done));
            if (unit.length === 0) throw new Error(`there are only ${done} files`);
            units.push(unit);
            done += unit.length;
          }
          await Promise.all(units.map(add));
          onProgress?.(done);
        }
      }),
  };
}

/** All files at once. */
export async function seedChannel(dataDir: string, records: number): Promise<void> {
  const seed = await createSeed(dataDir, records);
  await seed.growTo(records);
}

/** Closing it moves the log's contents into the database, so that no other process has to. */
async function withDatabase<T>(dataDir: string, work: (database: Database) => Promise<T>): Promise<T> {
  const folder = openDataFolder(dataDir, { create: true, database: engine === "postgres" ? "server" : "file" });
  const { settings } = await enginesOf(dataDir);
  const database = await openDatabase(databaseOf(folder.database, settings["database"]), { clock, create: true });
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

async function makeChannel(database: Database): Promise<void> {
  const { channels, users } = seedingServices(database, clock);
  await users.create(COMMAND_LINE, { name: "admin", password: crypto.randomUUID(), isAdmin: true });
  await channels.create(COMMAND_LINE, { owner: "admin", channel: "main" }, {});
}

async function createAdder(database: Database): Promise<(files: readonly NewFile[]) => Promise<void>> {
  const packages = createPackages({ clock });
  // The indexes of hashes and names are written in random order.
  if (engine === "sqlite")
    await database.transact(async (tx) => {
      tx.run(`PRAGMA cache_size = -${CACHE_KIB}`);
    });
  return async (files) =>
    await database.transact(async (tx) => {
      const place = await findChannelRef(tx, "admin", "main");
      if (!place?.channel) throw new Error("the channel has gone");
      const { owner, channel } = place;
      for (const file of files) await packages.addFile(tx, { owner, channel }, file, COMMAND_LINE);
    });
}

function take(files: Generator<NewFile, void, undefined>, count: number): NewFile[] {
  const taken: NewFile[] = [];
  while (taken.length < count) {
    const next = files.next();
    if (next.done) break;
    taken.push(next.value);
  }
  return taken;
}
