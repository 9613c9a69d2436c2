// What a package type defines for the index: its documents, how to build each of them, and how to check it.

import type { IndexScope } from "../../models/index/scope.ts";
import type { CatchUpParts, Progress } from "./catch-up/parts.ts";
import type { ChannelAddress } from "./documents.ts";
import type { Records, RequireReadable, SectionScope } from "./records.ts";
import type { Composition } from "./segments/compose.ts";
import type { Work } from "./steps/long-work.ts";

export type IndexFormat = {
  /** Identifies what decides document bytes: derived data with another codec is never read. See `codecOf`. */
  readonly codec: string;
  /** The layouts stored for the documents of a section, or of the entire channel. */
  kept(section: string): readonly StoredLayout[];
  /** The builder of a document. */
  builderOf(name: string): DocumentBuilder;
  /** The document of a section that never had a file: the same bytes as after all of its files were deleted. */
  empty(section: string, name: string, address: ChannelAddress): Composition;
  /** Throws the reason when no document can represent a file. */
  readonly requireReadable: RequireReadable;
  /** Rewrites a missing or damaged shard file; returns false when its content can no longer be determined. */
  restoreShard(work: ShardWork, shard: { readonly channelId: number; readonly hash: string }): Work<boolean>;
  /** Reads a document back and compares it with the records of its section. */
  check(rows: SectionRows, document: DocumentToCheck, complain: ReportProblem): Promise<void>;
};

/** A stored layout, and the documents that are built from it. */
export type StoredLayout = { readonly layout: string; readonly documents: readonly [string, ...string[]] };

/** The section, view and channel that documents are built for. */
export type BuildScope = Omit<IndexScope, "layout"> & { readonly address: ChannelAddress };

export type DocumentBuilder = {
  /** Name of the layout that the document is built from. */
  readonly layout: string;
  /** Runs one step that brings the layout up to date, inside one snapshot. */
  catchUp(work: CatchUpParts, scope: BuildScope): Promise<Progress>;
  /** Composes the document, or returns why there is none. Its layout must not change until this has ended. */
  compose(work: CatchUpParts, scope: BuildScope): Work<Composition | string>;
};

export type ShardWork = Pick<CatchUpParts, "records" | "derived" | "blobs" | "large">;

/** The records of a section in one snapshot. */
export type SectionRows = SectionScope & { readonly records: Records };

export type DocumentToCheck = {
  readonly name: string;
  bytes(): Iterable<Uint8Array>;
  readShard(hash: string): Uint8Array | undefined;
};

/** Reports a fault of one document. */
export type ReportProblem = (invariant: "I-6" | "I-7", message: string) => void;
