// The stores and the builder that a worker thread keeps open for one data folder.

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
    /** `repaired`: why derived data was recreated since the last reply. */
    readonly answer: { readonly reply: BuildReply; readonly repaired: string | undefined };
  };
};

export type ShardJobs = { readonly shard: { readonly input: InFolder<ShardRequest>; readonly answer: RestoreReply } };

export type IndexWorker = {
  /** Runs `work` with the builder of a data folder. */
  use<T>(dataFolder: string, work: (builder: IndexBuilder) => Promise<T>): Promise<T>;
  /** Why derived data was recreated since the last call; undefined if it was not. */
  takeRepaired(): string | undefined;
};

export type IndexStores = Pick<IndexBuilderParts, "snapshots" | "derived" | "files" | "blobs"> & {
  close(): void | Promise<void>;
};

export type IndexStoresOptions = {
  readonly codec: string;
  /** Receives the reason when derived data is recreated. */
  readonly onRecreated: (why: string) => void;
};

export type IndexWorkerParts = {
  readonly format: IndexFormat;
  readonly open: (dataFolder: string, options: IndexStoresOptions) => IndexStores;
  /** Identifies the databases in a folder: changes when one of them is replaced. */
  readonly identityOf: (dataFolder: string) => string;
};

type Opened = {
  readonly folder: string;
  /** Identity of the databases when they were opened. */
  readonly identity: string;
  readonly builder: IndexBuilder;
  close(): void | Promise<void>;
};

/** Opens the folder at the first request, and keeps it open as long as the thread runs. */
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
          await opened?.close();
          opened = await open(parts, dataFolder, (why) => (repaired = why));
        }
        return await work(opened.builder);
      } catch (error) {
        // The next request reopens the derived data, which recreates a damaged file.
        await opened?.close();
        opened = undefined;
        throw error;
      }
    },
  };
}

async function open(parts: IndexWorkerParts, folder: string, onRecreated: (why: string) => void): Promise<Opened> {
  const { format, identityOf } = parts;
  const { close, ...stores } = parts.open(folder, { codec: format.codec, onRecreated });
  try {
    await discardDeletedChannels(stores.snapshots, stores.derived);
    const builder = createIndexBuilder({ ...stores, clock: systemClock, format });
    return { folder, identity: identityOf(folder), close, builder };
  } catch (error) {
    await close();
    throw error;
  }
}

async function discardDeletedChannels(snapshots: Snapshots, derived: Derived): Promise<void> {
  const storedIds = derived.channelIds();
  const existingIds = new Set((await snapshots.snapshot(listChannels)).map(({ id }) => id));
  for (const channelId of storedIds) {
    if (!existingIds.has(channelId)) derived.transact(() => derived.discard({ channelId }));
  }
}
