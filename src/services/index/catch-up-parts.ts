// What all that brings derived data up to date works with, and how far it came.

import type { Reader } from "../../models/database.ts";
import type { Derived } from "../../models/derived.ts";
import type { BlobStore } from "../../modules/storage/blob-store.ts";
import type { Clock } from "../../modules/clock.ts";

export type Moment = { readonly revision: number; readonly identity: string; readonly at: number };

export type CatchUpParts = {
  readonly reader: Reader;
  readonly derived: Derived;
  readonly clock: Clock;
  readonly blobs: Pick<BlobStore, "stat" | "putDerived">;
  /** How long one step may take, in ms, before others get their turn. */
  readonly budget: number;
};

/** `more` asks for another step. */
export type Progress = { readonly kind: "current" | "more"; readonly moment: Moment };

export const BEFORE_ANY: Moment = { revision: 0, identity: "", at: 0 };
