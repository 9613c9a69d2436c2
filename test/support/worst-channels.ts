// Channels whose every record has the maximum stored length, or more, as rows from before the budget have.
// Only the database is filled: the records have no packages.

import { openDataFolder } from "../../src/models/data-folder.ts";
import { openDatabase } from "../../src/models/open-database.ts";
import { systemClock as clock } from "../../src/modules/clock.ts";
import { canonicalRecord } from "../../src/modules/conda/record.ts";
import { sha256Hex } from "../../src/modules/hash.ts";
import { COMMAND_LINE } from "../../src/services/actor.ts";
import { findChannelRef } from "../../src/services/channel-ref.ts";
import { createPackages, type NewFile } from "../../src/services/packages.ts";
import { PASSWORD } from "./app.ts";
import { newSource } from "./rows.ts";
import { seedingServices } from "./seeded.ts";

export type WorstChannel = {
  readonly names: number;
  /** Records of each name. */
  readonly files: number;
  /** Bytes of each record, and of its run exports. */
  readonly record: number;
  readonly runExports: number;
  /** The text that fills a record: never the same, or always the same. */
  readonly text?: "random" | "repeated";
};

/** Bytes that are written in one transaction. */
const UNIT_BYTES = 8 * 1024 ** 2;

/** Creates the users `busy` and `other`, and the channel `busy/main` with one subdir `noarch`. */
export async function seedWorstChannel(dataDir: string, worst: WorstChannel): Promise<void> {
  const source = await newSource(dataDir);
  openDataFolder(dataDir, { create: true, database: source.engine === "sqlite" ? "file" : "server" });
  const database = await openDatabase(source, { clock, create: true });
  try {
    const { channels, users } = seedingServices(database, clock);
    for (const name of ["busy", "other"])
      await users.create(COMMAND_LINE, { name, password: PASSWORD, isAdmin: false });
    await channels.create(COMMAND_LINE, { owner: "busy", channel: "main" }, {});
    const packages = createPackages({ clock });
    for (const unit of unitsOf(worst)) {
      await database.transact(async (tx) => {
        const ref = await findChannelRef(tx, "busy", "main");
        if (!ref?.channel) throw new Error("the channel has gone");
        const { owner, channel } = ref;
        for (const file of unit) await packages.addFile(tx, { owner, channel }, file, COMMAND_LINE);
      });
    }
  } finally {
    await database.close();
  }
}

function* unitsOf(worst: WorstChannel): Generator<readonly NewFile[], void, undefined> {
  const atOnce = Math.max(1, Math.floor(UNIT_BYTES / (worst.record + worst.runExports + 1)));
  let unit: NewFile[] = [];
  for (let name = 0; name < worst.names; name += 1) {
    for (let file = 0; file < worst.files; file += 1) {
      if (unit.push(worstFile(worst, `n${name}`, file)) < atOnce) continue;
      yield unit;
      unit = [];
    }
  }
  yield unit;
}

export function worstFile({ record, runExports, text = "random" }: WorstChannel, name: string, file: number): NewFile {
  const version = `1.${file}`;
  const fileName = `${name}-${version}-0.conda`;
  const sha256 = sha256Hex(fileName);
  const seed = text === "random" ? fileName : "same";
  const description = longText(seed, record);
  const fields = { name, version, build: "0", build_number: 0, depends: ["n0"], subdir: "noarch", description };
  const metadata = { about: {}, flags: [], runExports: runExports > 0 ? { weak: [longText(seed, runExports)] } : {} };
  return {
    packageName: name,
    version,
    section: "noarch",
    fileName,
    record: canonicalRecord(fields),
    metadata: JSON.stringify(metadata),
    properties: [],
    blob: { sha256, md5: sha256.slice(0, 32), size: 1000 },
  };
}

function longText(seed: string, length: number): string {
  const parts: string[] = [];
  for (let bytes = 0; bytes < length; bytes += 64) parts.push(sha256Hex(seed === "same" ? seed : `${seed} ${bytes}`));
  return parts.join("").slice(0, length);
}
