// The stores and the builder that a worker thread keeps open for one server.

import { listChannels } from "../../models/channel.ts";
import type { Snapshots } from "../../models/database.ts";
import type { Derived } from "../../models/index/db.ts";
import type { StoresSource } from "../../models/stores-source.ts";
import { systemClock } from "../../modules/clock.ts";
import { withPatience } from "../../modules/patience.ts";
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

type InStores<Request> = { readonly source: StoresSource; readonly request: Request };

export type DocumentJobs = {
  readonly document: {
    /** `patienceMs`: how long the requests for the document can still wait for a database server. */
    readonly input: InStores<BuildRequest> & { readonly patienceMs?: number | undefined };
    /** `repaired`: why derived data was recreated since the last reply. */
    readonly answer: { readonly reply: BuildReply; readonly repaired: string | undefined };
  };
};

export type ShardJobs = { readonly shard: { readonly input: InStores<ShardRequest>; readonly answer: RestoreReply } };

export type IndexWorker = {
  /** Runs `work` with the builder of a server's stores. `patienceMs`: see `DocumentJobs`. */
  use<T>(source: StoresSource, work: (builder: IndexBuilder) => Promise<T>, patienceMs?: number): Promise<T>;
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
  readonly open: (source: StoresSource, options: IndexStoresOptions) => Promise<IndexStores>;
  /** Identifies the databases in a folder: changes when one of them is replaced. */
  readonly identityOf: (dataFolder: string) => string;
};

type Opened = {
  readonly source: StoresSource;
  /** Identity of the databases when they were opened. */
  readonly identity: string;
  readonly builder: IndexBuilder;
  close(): void | Promise<void>;
};

/** ms that a step may wait for a database server: all other builds wait meanwhile. */
const STEP_PATIENCE_MS = 6000;

/** Opens the stores at the first request, and keeps them open as long as the thread runs. */
export function createIndexWorker(parts: IndexWorkerParts): IndexWorker {
  let opened: Opened | undefined;
  let repaired: string | undefined;
  return {
    takeRepaired: () => {
      const why = repaired;
      repaired = undefined;
      return why;
    },
    use: (source, work, patienceMs = STEP_PATIENCE_MS) =>
      withPatience(Math.min(patienceMs, STEP_PATIENCE_MS), async () => {
        try {
          if (!isOpen(opened, source) || opened.identity !== parts.identityOf(source.dataFolder)) {
            await opened?.close();
            opened = await open(parts, source, (why) => (repaired = why));
          }
          return await work(opened.builder);
        } catch (error) {
          // The next request reopens the derived data, which recreates a damaged file.
          await opened?.close();
          opened = undefined;
          throw error;
        }
      }),
  };
}

function isOpen(opened: Opened | undefined, source: StoresSource): opened is Opened {
  return Bun.deepEquals(opened?.source, source);
}

async function open(
  parts: IndexWorkerParts,
  source: StoresSource,
  onRecreated: (why: string) => void,
): Promise<Opened> {
  const { format, identityOf } = parts;
  const { close, ...stores } = await parts.open(source, { codec: format.codec, onRecreated });
  try {
    await discardDeletedChannels(stores.snapshots, stores.derived);
    const builder = createIndexBuilder({ ...stores, clock: systemClock, format });
    return { source, identity: identityOf(source.dataFolder), close, builder };
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
