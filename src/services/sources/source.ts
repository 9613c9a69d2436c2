// Where the things of a channel come from. Routes ask a source and never know which kind it is.

import type { AbsentDocument, BuiltDocument } from "../index/engine.ts";
import type { Packable } from "../index/files/gzip.ts";
import type { DocumentPlace } from "../conda/documents/names.ts";
import type { Sendable } from "../bodies.ts";

export type SourceFile = Sendable & {
  readonly sha256: string;
  readonly state: "active" | "yanked";
  /** ms UTC of the publish. */
  readonly lastModified: number;
};

export type Source = {
  document(place: DocumentPlace): Promise<BuiltDocument | AbsentDocument>;
  /** What is built already; undefined otherwise. */
  peek(place: DocumentPlace): Promise<BuiltDocument | AbsentDocument | undefined>;
  /** A document as gzip; undefined when it cannot be had in time, and the document is to be sent as it is. */
  pack(document: Packable): Promise<Sendable | undefined>;
  /** The same if it is packed already. */
  packed(document: Packable): Sendable | undefined;
  /** A shard by the hash of its bytes, also for days after another has replaced it; undefined when there is none. */
  shard(hash: string): Promise<Sendable | undefined>;
  /**
   * Undefined when the section has no such file. Errors: `unavailable` when its blob is missing; one that is unexpected
   * when it has another size than it should have.
   */
  file(section: string, name: string): Promise<SourceFile | undefined>;
};
