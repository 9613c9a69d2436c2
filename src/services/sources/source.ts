// Where the things of a channel come from. Routes ask a source and never know which kind it is.

import type { AbsentDocument, BuiltDocument } from "../index/engine.ts";
import type { DocumentPlace } from "../index/documents.ts";

export type SourceFile = {
  readonly sha256: string;
  readonly size: number;
  readonly state: "active" | "yanked";
  /** ms UTC of the publish. */
  readonly lastModified: number;
  /** The content, or a part of it; both ends are inclusive. */
  open(range?: { readonly start: number; readonly end: number }): Promise<Blob>;
  /** Whether what `open` answers lies in memory. */
  readonly isInMemory: boolean;
};

export type SourceShard = {
  readonly size: number;
  /** The content, or a part of it; both ends are inclusive. */
  open(range?: { readonly start: number; readonly end: number }): Promise<Blob> | Blob;
  readonly isInMemory: boolean;
};

export type Source = {
  document(place: DocumentPlace): Promise<BuiltDocument | AbsentDocument>;
  /** What is built already; undefined otherwise. */
  peek(place: DocumentPlace): Promise<BuiltDocument | AbsentDocument | undefined>;
  /** A shard by the hash of its bytes, also for days after another has replaced it; undefined when there is none. */
  shard(hash: string): Promise<SourceShard | undefined>;
  /** Undefined when the section has no such file. Errors of `open()`: `unavailable` when the blob is missing. */
  file(section: string, name: string): Promise<SourceFile | undefined>;
};
