// What a server does with its stores before it answers requests: it checks and cleans them, and watches their health.

import { basename } from "node:path";
import { reservedOwner, type Config } from "./config.ts";
import type { Events } from "./events.ts";
import { listChannels } from "./models/channel.ts";
import type { DataFolder } from "./models/data-folder.ts";
import { toOpenError } from "./models/database-errors.ts";
import { databaseOf } from "./models/open-database.ts";
import type { Clock } from "./modules/clock.ts";
import type { DerivedFiles } from "./modules/storage/derived-files.ts";
import { createDiskProbe } from "./modules/storage/disk-probe.ts";
import { createHealth, type Health } from "./services/health.ts";
import { refuseTakenName } from "./services/users.ts";
import type { Stores } from "./stores.ts";

/** Checks and cleans the stores before anyone uses them. */
export async function prepare(
  stores: Stores,
  files: DerivedFiles,
  { config, publicUrl }: { readonly config: Config; readonly publicUrl: string },
): Promise<void> {
  await refuseTakenName(stores.database.read, reservedOwner(publicUrl));
  await sweep(stores, files, config);
}

/** Removes leftovers of earlier server processes. */
async function sweep(
  { folder, database, blobs }: Stores,
  files: DerivedFiles,
  { database: url }: Pick<Config, "database">,
): Promise<void> {
  try {
    await blobs.probe();
    await blobs.sweep();
    const channelIds = new Set((await listChannels(database.read)).map(({ id }) => id));
    files.sweep((id) => channelIds.has(id));
  } catch (error) {
    throw toOpenError(error, databaseOf(folder.database, url));
  }
}

function databaseFiles({ database }: DataFolder, config: Pick<Config, "database">): string[] {
  return config.database === undefined ? [database, `${database}-wal`] : [];
}

export function healthOf(config: Config, parts: Stores & { readonly events: Events; readonly clock: Clock }): Health {
  const { folder, guard, database, blobs, events, clock } = parts;
  guard.begin();
  const disk = createDiskProbe({
    root: folder.root,
    files: [...databaseFiles(folder, config), folder.index].map((path) => basename(path)),
  });
  const databasePath = folder.database;
  const reserve = config["min-free-space"];
  return createHealth({ database, databasePath, guard, blobs, disk, reserve, events, clock });
}
