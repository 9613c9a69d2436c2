// The types that the parts of the collector share.

import type { DataFolder } from "../../models/data-folder.ts";
import type { Database } from "../../models/database.ts";
import type { Clock } from "../../modules/clock.ts";
import type { BlobStore } from "../../modules/storage/blob-store.ts";
import type { CollectorLease } from "./collector-lease.ts";

export const COLLECTED_KINDS = ["blob", "file-list", "shard", "document", "temporary"] as const;
export type CollectedKind = (typeof COLLECTED_KINDS)[number];

export type Collected = {
  readonly kind: CollectedKind;
  /** The path in the data folder. */
  readonly name: string;
  readonly bytes: number;
};

export type Collecting = {
  readonly database: Database;
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly folder: Pick<DataFolder, "root" | "index">;
  /** The codec of the derived data. */
  readonly codec: string;
  /** ms for which an unreferenced blob is retained. */
  readonly graceMs: number;
  /** ms for which events of the audit trail are retained; undefined retains all. */
  readonly auditMs: number | undefined;
  /** True only reports what would be deleted. */
  readonly dryRun: boolean;
  readonly onCollected: (collected: Collected) => void;
  readonly onProgress: (done: number, total: number, what: string) => void;
  readonly failpoint: (name: string) => void;
};

/** For blobs and shards, which nodes share. */
export type CollectingShared = Collecting & {
  /** Whether other nodes, each with an index.db of its own, use the same storage. */
  readonly isShared: boolean;
  /** Of this run. */
  readonly lease: Pick<CollectorLease, "renew">;
};

/** A process holds this lease while it copies blobs: no blob is deleted meanwhile. */
export const BLOBS_LEASE = "blobs";
