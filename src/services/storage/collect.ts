// What the parts of the collector share: what they work on, and how they tell what they take.

import type { DataFolder } from "../../models/data-folder.ts";
import type { Database } from "../../models/database.ts";
import type { Clock } from "../../modules/clock.ts";
import type { BlobStore } from "../../modules/storage/blob-store.ts";

export const COLLECTED_KINDS = ["blob", "file-list", "shard", "document", "temporary"] as const;
export type CollectedKind = (typeof COLLECTED_KINDS)[number];

export type Collected = {
  readonly kind: CollectedKind;
  /** Where it lies in the data folder. */
  readonly name: string;
  readonly bytes: number;
};

export type Collecting = {
  readonly database: Database;
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly folder: Pick<DataFolder, "root" | "index">;
  /** Of the derived data. */
  readonly codec: string;
  /** ms for which a blob stays that nothing refers to. */
  readonly graceMs: number;
  /** True only tells what would go. */
  readonly dryRun: boolean;
  readonly take: (collected: Collected) => void;
  readonly onProgress: (done: number, total: number, what: string) => void;
  readonly failpoint: (name: string) => void;
};

/** Held by whoever copies blobs: none is taken meanwhile. */
export const BLOBS_LEASE = "blobs";
