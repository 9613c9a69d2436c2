// What a worker thread keeps open to build documents of one data folder.

import { join } from "node:path";
import { openSnapshots } from "../../models/database.ts";
import { openDerived } from "../../models/derived.ts";
import { systemClock } from "../../modules/clock.ts";
import { createDerivedFiles } from "../../modules/storage/derived-files.ts";
import { createDiskStore } from "../../modules/storage/disk.ts";
import { CODEC } from "./codec.ts";
import { createIndexBuilder, type IndexBuilder } from "./index-builder.ts";

export type IndexWorker = {
  /** Does something with the builder of a data folder. */
  use<T>(dataFolder: string, work: (builder: IndexBuilder) => Promise<T>): Promise<T>;
};

/** Opens the folder at the first request, and keeps it open while the thread lives. */
export function createIndexWorker(): IndexWorker {
  let opened: { readonly folder: string; readonly builder: IndexBuilder } | undefined;
  return {
    use: async (dataFolder, work) => {
      opened = opened?.folder === dataFolder ? opened : { folder: dataFolder, builder: open(dataFolder) };
      try {
        return await work(opened.builder);
      } catch (error) {
        // Derived data that cannot be read is opened, and with it mended, anew at the next request.
        opened = undefined;
        throw error;
      }
    },
  };
}

function open(folder: string): IndexBuilder {
  return createIndexBuilder({
    snapshots: openSnapshots(join(folder, "condarium.db")),
    derived: openDerived(join(folder, "index.db"), CODEC),
    files: createDerivedFiles(folder),
    // Shards are small and derived: they may use what uploads leave free.
    blobs: createDiskStore({ root: folder, reserve: 0 }),
    clock: systemClock,
  });
}
