// What a worker thread keeps open to build documents of one data folder.

import { join } from "node:path";
import { listChannels } from "../../models/channel.ts";
import { openSnapshots, type Snapshots } from "../../models/database.ts";
import { openDerived, type Derived } from "../../models/derived.ts";
import { systemClock } from "../../modules/clock.ts";
import { createDerivedFiles } from "../../modules/storage/derived-files.ts";
import { createDiskStore } from "../../modules/storage/disk.ts";
import { CODEC } from "./codec.ts";
import { createIndexBuilder, type IndexBuilder } from "./index-builder.ts";

export type IndexWorker = {
  /** Does something with the builder of a data folder. */
  use<T>(dataFolder: string, work: (builder: IndexBuilder) => Promise<T>): Promise<T>;
};

type Opened = { readonly folder: string; readonly builder: IndexBuilder; close(): void };

/** Opens the folder at the first request, and keeps it open while the thread lives. */
export function createIndexWorker(): IndexWorker {
  let opened: Opened | undefined;
  return {
    use: async (dataFolder, work) => {
      try {
        if (opened?.folder !== dataFolder) {
          opened?.close();
          opened = await open(dataFolder);
        }
        return await work(opened.builder);
      } catch (error) {
        // Derived data that cannot be read is opened, and with it mended, anew at the next request.
        opened?.close();
        opened = undefined;
        throw error;
      }
    },
  };
}

async function open(folder: string): Promise<Opened> {
  const snapshots = openSnapshots(join(folder, "condarium.db"));
  const connections: { close(): void }[] = [snapshots];
  const close = (): void => {
    for (const connection of connections) connection.close();
  };
  try {
    const derived = openDerived(join(folder, "index.db"), CODEC);
    connections.push(derived);
    await forgetChannelsThatHaveGone(snapshots, derived);
    const files = createDerivedFiles(folder);
    // Shards are small and derived: they may use what uploads leave free.
    const blobs = createDiskStore({ root: folder, reserve: 0 });
    return { folder, close, builder: createIndexBuilder({ snapshots, derived, files, blobs, clock: systemClock }) };
  } catch (error) {
    close();
    throw error;
  }
}

async function forgetChannelsThatHaveGone(snapshots: Snapshots, derived: Derived): Promise<void> {
  const known = derived.channelIds();
  const channels = new Set((await snapshots.snapshot(listChannels)).map(({ id }) => id));
  for (const channelId of known) {
    if (!channels.has(channelId)) derived.transact(() => derived.discard({ channelId }));
  }
}
