// Where bytes lie: the contract every driver keeps. test/conformance/blob-store.ts checks it on each.

/** A key made by `keys.ts`: slash-separated, lower-case, never with `.` or `..` parts. Drivers refuse any other. */
export type BlobKey = string & { readonly __blobKey: unique symbol };

export type BlobInfo = {
  /** Bytes. */
  readonly size: number;
  /** Milliseconds UTC. */
  readonly modified: number;
};

/** A file being written beside the blobs; nothing can read it under a key until it is promoted. */
export type StagedBlob = {
  readonly size: number;
  /** A path on this machine that readers of the content (the inspection) can open. */
  readonly path: string;
  append(chunk: Uint8Array): Promise<void>;
  /** Makes the written bytes durable. A failed fsync is never tried again: discard and fail. */
  sync(): Promise<void>;
  /**
   * Puts the content at `key`, durably: rename (or link), then fsync of the directory. Replaces equal content.
   * The staged copy stays until `discard()`, so a promotion can be repeated.
   */
  promote(key: BlobKey): Promise<void>;
  /** Removes the staged copy; safe to call twice, and after a failure. */
  discard(): Promise<void>;
};

export type BlobStore = {
  /**
   * `announced` bytes are kept free for it until it is discarded.
   * Errors: `no-space` when the disk is full or its reserve is reached or would be, of `append()` too.
   */
  stage(announced?: number): Promise<StagedBlob>;
  /** Writes small derived or companion content in one durable step. */
  put(key: BlobKey, content: Uint8Array): Promise<void>;
  /**
   * Writes content that can be made again from a blob, without waiting for the disk: readers see the whole or nothing,
   * but after a power cut it may be missing or damaged, so they check it.
   */
  putDerived(key: BlobKey, content: Uint8Array): Promise<void>;
  /** Undefined when there is no such blob. */
  stat(key: BlobKey): Promise<BlobInfo | undefined>;
  /** The content as a response body can take it; undefined when there is no such blob. `range` is inclusive. */
  open(key: BlobKey, range?: { readonly start: number; readonly end: number }): Promise<Blob | undefined>;
  delete(key: BlobKey): Promise<void>;
  /** Every key below a prefix such as `blobs/`, in no order. */
  list(prefix: string): AsyncIterable<BlobKey>;
  /** Removes staged copies that no live process owns; answers how many. Called at start, under the server's lock. */
  sweep(): Promise<number>;
  /** Bytes that can still be written before the reserve is reached; undefined when the driver has no bound. */
  free(): Promise<number | undefined>;
};
