// Where the things of a channel come from. Routes ask a source and never know which kind it is.

import type { Sendable } from "../bodies.ts";

export { WHOLE_CHANNEL } from "../index/documents.ts";

/** A document of a section, or of the channel as a whole. */
export type DocumentKey = { readonly section: string; readonly name: string };

/** One exact representation of a document. */
export type SourceDocument = Sendable & {
  readonly kind: "built";
  /** Identifies the exact bytes. */
  readonly hash: string;
  /** ms UTC of the newest change of the section; never goes back. */
  readonly lastModified: number;
  /** Whether it can still be read. */
  exists(): boolean;
  /** Undefined for one that is shorter as it is. */
  readonly gzip: GzipForm | undefined;
};

/** A document that the channel does not offer; `why` says what to use instead. */
export type AbsentDocument = { readonly kind: "absent"; readonly why: string };

/** A document as gzip. */
export type GzipForm = {
  /** Undefined when it cannot be had in time, and the document is to be sent as it is. */
  make(): Promise<Sendable | undefined>;
  /** The same if it is made already. */
  find(): Sendable | undefined;
};

export type SourceFile = Sendable & {
  readonly sha256: string;
  readonly state: "active" | "yanked";
  /** ms UTC of the publish. */
  readonly lastModified: number;
};

export type Source = {
  document(key: DocumentKey): Promise<SourceDocument | AbsentDocument>;
  /** What is built already; undefined otherwise. */
  peek(key: DocumentKey): Promise<SourceDocument | AbsentDocument | undefined>;
  /** A shard by the hash of its bytes, also for days after another has replaced it; undefined when there is none. */
  shard(hash: string): Promise<Sendable | undefined>;
  /**
   * Undefined when the section has no such file. Errors: `unavailable` when its blob is missing; one that is unexpected
   * when it has another size than it should have.
   */
  file(section: string, name: string): Promise<SourceFile | undefined>;
};
