// The source of a channel's documents, shards and files. Routes use it without knowing its kind.

import type { SignedDownload } from "../../modules/storage/blob-store.ts";
import type { Sendable } from "../bodies.ts";

export { WHOLE_CHANNEL } from "../index/documents.ts";

/** A document of a section, or of the entire channel. */
export type DocumentKey = { readonly section: string; readonly name: string };

/** One exact representation of a document. */
export type SourceDocument = Sendable & {
  readonly kind: "built";
  /** Identifies the exact bytes. */
  readonly hash: string;
  /** ms UTC of the newest change of the section; never decreases. */
  readonly lastModified: number;
  /** Whether the document can still be read. */
  exists(): boolean;
  /** Undefined for a document that gzip does not shorten. */
  readonly gzip: GzipForm | undefined;
};

/** A document that the channel does not offer; `why` says what to use instead. */
export type AbsentDocument = { readonly kind: "absent"; readonly why: string };

/** A document as gzip. */
export type GzipForm = {
  /** Undefined when it is not ready in time: send the document uncompressed. */
  make(): Promise<Sendable | undefined>;
  /** Returns the gzip form if it already exists. */
  find(): Sendable | undefined;
};

export type SourceFile = Sendable & {
  readonly sha256: string;
  readonly state: "active" | "yanked";
  /** ms UTC of the publish. */
  readonly lastModified: number;
  /** A URL that gives the file to anybody for some minutes; undefined where the server sends files itself. */
  readonly signedUrl: ((download: SignedDownload) => Promise<string>) | undefined;
};

export type Source = {
  document(key: DocumentKey): Promise<SourceDocument | AbsentDocument>;
  /** Returns the document if it is already built; undefined otherwise. */
  peek(key: DocumentKey): Promise<SourceDocument | AbsentDocument | undefined>;
  /** Returns a shard by its hash, also for days after a newer one replaced it; undefined when it does not exist. */
  shard(hash: string): Promise<Sendable | undefined>;
  /**
   * Undefined when the section has no such file. Errors: `forbidden` when it is quarantined; `unavailable` when its blob is missing; an unexpected error
   * when the size of the blob differs from its row.
   */
  file(section: string, name: string): Promise<SourceFile | undefined>;
  /** Whether the channel has no files at all. */
  isEmpty(): Promise<boolean>;
};
