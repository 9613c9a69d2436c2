// The dependencies of the steps that bring derived data up to date, and the progress of a step.

import type { Reader } from "../../../models/database.ts";
import type { Derived, SkippedRecord } from "../../../models/index/db.ts";
import type { BlobStore } from "../../../modules/storage/blob-store.ts";
import type { Clock } from "../../../modules/clock.ts";
import type { DerivedFiles } from "../../../modules/storage/derived-files.ts";
import type { Records } from "../records.ts";
import { createHolds, type Holds } from "../steps/holds.ts";
import { createLongWork, type LongWork } from "../steps/long-work.ts";

export type DatedRevision = { readonly revision: number; readonly identity: string; readonly at: number };

/** The stored value of a name, undefined when nothing is left to store, and the records of the name that it skips. */
export type NameValue = { readonly value: Uint8Array | undefined; readonly skipped: readonly SkippedRecord[] };

export type CatchUpParts = {
  readonly reader: Reader;
  readonly records: Records;
  readonly derived: Derived;
  readonly clock: Clock;
  readonly blobs: Pick<BlobStore, "stat" | "putDerived">;
  readonly files: Pick<DerivedFiles, "draft">;
  /** Computations of values that take longer than a step. */
  readonly names: LongWork<NameValue>;
  /** Locks for work that holds much memory between its steps. */
  readonly large: Holds;
  /** Time budget of a step in ms, after which others get their turn. */
  readonly budget: number;
};

/** `more`: another step is needed; after a pause if `isWaiting`. */
export type Progress =
  | { readonly kind: "current"; readonly point: DatedRevision }
  | { readonly kind: "more"; readonly isWaiting: boolean };

export const BEFORE_ANY: DatedRevision = { revision: 0, identity: "", at: 0 };

/** Number of memory-intensive computations in progress at a time; each can take about 100 MB. */
const MAX_LARGE = 2;

export function createOngoingWork({ clock }: Pick<CatchUpParts, "clock">): Pick<CatchUpParts, "names" | "large"> {
  return { names: createLongWork({ clock }), large: createHolds({ clock, most: MAX_LARGE }) };
}
