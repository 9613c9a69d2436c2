// What a worker thread keeps open to build documents of one data folder.

import { statSync } from "node:fs";
import { join } from "node:path";
import { listChannels } from "../../models/channel.ts";
import { openSnapshots, type Snapshots } from "../../models/database.ts";
import { openDerived, type Derived } from "../../models/index/db.ts";
import { fileIdentity } from "../../models/folder-guard.ts";
import { systemClock } from "../../modules/clock.ts";
import { createDerivedFiles } from "../../modules/storage/derived-files.ts";
import { createDiskStore } from "../../modules/storage/disk.ts";
import type { IndexFormat } from "./format.ts";
import { createIndexBuilder, type IndexBuilder } from "./builder.ts";

export type IndexWorker = {
  /** Does something with the builder of a data folder. */
  use<T>(dataFolder: string, work: (builder: IndexBuilder) => Promise<T>): Promise<T>;
  /** Why derived data had to be begun anew since this was last asked. */
  takeMended(): string | undefined;
};

type Opened = {
  readonly folder: string;
  /** Of the databases, as they were opened. */
  readonly identity: string;
  readonly builder: IndexBuilder;
  close(): void;
};

/** Opens the folder at the first request, and keeps it open while the thread lives. */
export function createIndexWorker({ format }: { readonly format: IndexFormat }): IndexWorker {
  let opened: Opened | undefined;
  let mended: string | undefined;
  return {
    takeMended: () => {
      const told = mended;
      mended = undefined;
      return told;
    },
    use: async (dataFolder, work) => {
      try {
        if (opened?.folder !== dataFolder || opened.identity !== identityOf(dataFolder)) {
          opened?.close();
          opened = await open(dataFolder, format, (why) => (mended = why));
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

async function open(folder: string, format: IndexFormat, onMended: (why: string) => void): Promise<Opened> {
  const snapshots = openSnapshots(join(folder, "condarium.db"));
  const connections: { close(): void }[] = [snapshots];
  const close = (): void => {
    for (const connection of connections) connection.close();
  };
  try {
    const derived = openDerived(join(folder, "index.db"), format.codec, { onAnew: onMended });
    connections.push(derived);
    await forgetChannelsThatHaveGone(snapshots, derived);
    const files = createDerivedFiles(folder);
    // Shards are small and derived: they may use what uploads leave free.
    const blobs = createDiskStore({ root: folder, reserve: 0 });
    const builder = createIndexBuilder({ snapshots, derived, files, blobs, clock: systemClock, format });
    return { folder, identity: identityOf(folder), close, builder };
  } catch (error) {
    close();
    throw error;
  }
}

/** Whoever deletes or replaces a database leaves us with the old one open. */
function identityOf(folder: string): string {
  const files = ["condarium.db", "index.db"].map((name) => statSync(join(folder, name), { throwIfNoEntry: false }));
  return files.map((info) => (info ? fileIdentity(info) : "none")).join(" ");
}

async function forgetChannelsThatHaveGone(snapshots: Snapshots, derived: Derived): Promise<void> {
  const known = derived.channelIds();
  const channels = new Set((await snapshots.snapshot(listChannels)).map(({ id }) => id));
  for (const channelId of known) {
    if (!channels.has(channelId)) derived.transact(() => derived.discard({ channelId }));
  }
}
