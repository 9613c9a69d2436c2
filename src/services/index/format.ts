// What a package type tells the index of its documents: which there are, what each is made of, and how to check it.

import type { IndexScope } from "../../models/index/scope.ts";
import type { CatchUpParts, Progress } from "./catch-up/parts.ts";
import type { ChannelAddress } from "./documents.ts";
import type { Records, RequireReadable, SectionScope } from "./records.ts";
import type { Composition } from "./segments/compose.ts";
import type { Work } from "./steps/long-work.ts";

export type IndexFormat = {
  /** What decides bytes: derived data of another codec is never read. See `codecOf`. */
  readonly codec: string;
  /** What is kept for the documents of a section, or of the channel as a whole. */
  kept(section: string): readonly KeptLayout[];
  /** How a document is made. */
  builderOf(name: string): DocumentBuilder;
  /** A document of a place that never held anything, byte for byte as if all of its files had gone. */
  empty(section: string, name: string, address: ChannelAddress): Composition;
  /** Throws why no document can hold a file. */
  readonly requireReadable: RequireReadable;
  /** Writes a shard anew whose file has gone or is damaged; false when it is not known any more what it said. */
  restoreShard(work: ShardWork, shard: { readonly channelId: number; readonly hash: string }): Work<boolean>;
  /** Reads a document back and compares it with the records of its section. */
  check(rows: SectionRows, document: DocumentToCheck, complain: Complain): Promise<void>;
};

/** What is kept under one name, and the documents that are made of it. */
export type KeptLayout = { readonly layout: string; readonly documents: readonly [string, ...string[]] };

/** Of which documents are built. */
export type BuildScope = Omit<IndexScope, "layout"> & { readonly address: ChannelAddress };

export type DocumentBuilder = {
  /** Of what is kept for it. */
  readonly layout: string;
  /** One step, inside one snapshot. */
  catchUp(work: CatchUpParts, scope: BuildScope): Promise<Progress>;
  /** Puts the document together, or says why there is none. Nothing of its layout may change until that has ended. */
  compose(work: CatchUpParts, scope: BuildScope): Work<Composition | string>;
};

export type ShardWork = Pick<CatchUpParts, "records" | "derived" | "blobs" | "large">;

/** The records of a section, as they were at one moment. */
export type SectionRows = SectionScope & { readonly records: Records };

export type DocumentToCheck = {
  readonly name: string;
  bytes(): Iterable<Uint8Array>;
  readShard(hash: string): Uint8Array | undefined;
};

/** Takes what is wrong with one document. */
export type Complain = (invariant: "I-6" | "I-7", message: string) => void;
