// What a worker thread keeps open to build documents of one data folder.

import { listChannels } from "../../models/channel.ts";
import type { Snapshots } from "../../models/database.ts";
import type { Derived } from "../../models/index/db.ts";
import { systemClock } from "../../modules/clock.ts";
import {
  createIndexBuilder,
  type BuildReply,
  type BuildRequest,
  type IndexBuilder,
  type IndexBuilderParts,
  type RestoreReply,
  type ShardRequest,
} from "./builder.ts";
import type { IndexFormat } from "./format.ts";

type InFolder<Request> = { readonly dataFolder: string; readonly request: Request };

export type DocumentJobs = {
  readonly document: {
    readonly input: InFolder<BuildRequest>;
    /** `repaired` says why derived data had to be rebuilt since the last answer. */
    readonly answer: { readonly reply: BuildReply; readonly repaired: string | undefined };
  };
};

export type ShardJobs = { readonly shard: { readonly input: InFolder<ShardRequest>; readonly answer: RestoreReply } };

export type IndexWorker = {
  /** Does something with the builder of a data folder. */
  use<T>(dataFolder: string, work: (builder: IndexBuilder) => Promise<T>): Promise<T>;
  /** Why derived data had to be begun anew since this was last asked. */
  takeRepaired(): string | undefined;
};

export type IndexStores = Pick<IndexBuilderParts, "snapshots" | "derived" | "files" | "blobs"> & { close(): void };

export type IndexStoresOptions = {
  readonly codec: string;
  /** Told why derived data is begun anew. */
  readonly onAnew: (why: string) => void;
};

export type IndexWorkerParts = {
  readonly format: IndexFormat;
  readonly open: (dataFolder: string, options: IndexStoresOptions) => IndexStores;
  /** Of the databases that lie in a folder: another once one of them was replaced. */
  readonly identityOf: (dataFolder: string) => string;
};

type Opened = {
  readonly folder: string;
  /** Of the databases, as they were opened. */
  readonly identity: string;
  readonly builder: IndexBuilder;
  close(): void;
};

/** Opens the folder at the first request, and keeps it open while the thread lives. */
export function createIndexWorker(parts: IndexWorkerParts): IndexWorker {
  let opened: Opened | undefined;
  let repaired: string | undefined;
  return {
    takeRepaired: () => {
      const why = repaired;
      repaired = undefined;
      return why;
    },
    use: async (dataFolder, work) => {
      try {
        if (opened?.folder !== dataFolder || opened.identity !== parts.identityOf(dataFolder)) {
          opened?.close();
          opened = await open(parts, dataFolder, (why) => (repaired = why));
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

async function open(parts: IndexWorkerParts, folder: string, onAnew: (why: string) => void): Promise<Opened> {
  const { format, identityOf } = parts;
  const { close, ...stores } = parts.open(folder, { codec: format.codec, onAnew });
  try {
    await forgetChannelsThatHaveGone(stores.snapshots, stores.derived);
    const builder = createIndexBuilder({ ...stores, clock: systemClock, format });
    return { folder, identity: identityOf(folder), close, builder };
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
