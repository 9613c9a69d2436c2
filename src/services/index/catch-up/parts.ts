// What all that brings derived data up to date works with, and how far it came.

import type { Reader } from "../../../models/database.ts";
import type { Derived, SkippedRecord } from "../../../models/index/db.ts";
import type { BlobStore } from "../../../modules/storage/blob-store.ts";
import type { Clock } from "../../../modules/clock.ts";
import type { DerivedFiles } from "../../../modules/storage/derived-files.ts";
import type { Records } from "../records.ts";
import { createHolds, type Holds } from "../steps/holds.ts";
import { createLongWork, type LongWork } from "../steps/long-work.ts";

export type DatedRevision = { readonly revision: number; readonly identity: string; readonly at: number };

/** What is kept of a name, undefined when there is nothing any more, and which of its records that leaves out. */
export type NameValue = { readonly value: Uint8Array | undefined; readonly skipped: readonly SkippedRecord[] };

export type CatchUpParts = {
  readonly reader: Reader;
  readonly records: Records;
  readonly derived: Derived;
  readonly clock: Clock;
  readonly blobs: Pick<BlobStore, "stat" | "putDerived">;
  readonly files: Pick<DerivedFiles, "draft">;
  /** Names whose value takes longer than a step. */
  readonly names: LongWork<NameValue>;
  /** What takes much memory from one step to the next. */
  readonly large: Holds;
  /** How long one step may take, in ms, before others get their turn. */
  readonly budget: number;
};

/** `more` asks for another step: when it is `waiting`, in a moment. */
export type Progress =
  | { readonly kind: "current"; readonly point: DatedRevision }
  | { readonly kind: "more"; readonly isWaiting: boolean };

export const BEFORE_ANY: DatedRevision = { revision: 0, identity: "", at: 0 };

/** So many large things are under way at a time; each may take some 100 MB. */
const MOST_LARGE = 2;

export function createUnderWay({ clock }: Pick<CatchUpParts, "clock">): Pick<CatchUpParts, "names" | "large"> {
  return { names: createLongWork({ clock }), large: createHolds({ clock, most: MOST_LARGE }) };
}
