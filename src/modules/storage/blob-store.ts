// Storage of package bytes: the contract of every driver. test/conformance/blob-store.ts checks each driver.

/** A key built by `keys.ts`: slash-separated, lower-case, without `.` and `..` parts. Drivers refuse any other key. */
export type BlobKey = string & { readonly __blobKey: unique symbol };

/** A folder of the data, as the first part of a key. */
export type BlobFolder = "blobs" | "files" | "shards";

export type BlobInfo = {
  /** Bytes. */
  readonly size: number;
  /** Milliseconds UTC. */
  readonly modified: number;
};

/** The content of a blob, or of a range of it. A `Blob` is one; a driver whose content is elsewhere gives its own. */
export type StoredBlob = Pick<Blob, "size" | "text" | "arrayBuffer" | "bytes"> & {
  /** Reads only as fast as its reader. Content that ends early is an error of the stream, never its end. */
  stream(): ReadableStream<Uint8Array<ArrayBuffer>>;
};

/** A download of a blob from its storage itself, without the server in between. */
export type SignedDownload = {
  readonly method: "GET" | "HEAD";
  readonly fileName: string;
  /** Whether shared caches may store the content. */
  readonly isPublic: boolean;
};

/** A file being written outside the blobs; no key leads to it until it is promoted. */
export type StagedBlob = {
  readonly size: number;
  /** A local path that readers of the content (the inspection) can open. */
  readonly path: string;
  append(chunk: Uint8Array): Promise<void>;
  /** Makes the written bytes durable. Never retry after a failed fsync: discard and fail. */
  sync(): Promise<void>;
  /**
   * Stores the content at `key` durably: rename (or link), then fsync of the directory. Replaces equal content.
   * The staged copy remains until `discard()`, so a promotion can be repeated.
   */
  promote(key: BlobKey): Promise<void>;
  /** Removes the staged copy; safe to call twice, and after a failure. */
  discard(): Promise<void>;
};

export type BlobStore = {
  /**
   * Reserves `announced` bytes until the staged blob is discarded.
   * Errors: `no-space`, also from `append()`, when the disk is full or the bytes would use its reserve.
   */
  stage(announced?: number): Promise<StagedBlob>;
  /** Writes small derived or companion content durably, in one step. */
  put(key: BlobKey, content: Uint8Array): Promise<void>;
  /**
   * Writes content that can be rebuilt from a blob, without waiting for the disk. Readers see the complete content or
   * none; after a power failure it can be missing or damaged, so readers check it.
   */
  putDerived(key: BlobKey, content: Uint8Array): Promise<void>;
  /** Undefined when there is no such blob. */
  stat(key: BlobKey): Promise<BlobInfo | undefined>;
  /** Undefined when there is no such blob. `range` is inclusive. */
  open(key: BlobKey, range?: { readonly start: number; readonly end: number }): Promise<StoredBlob | undefined>;
  delete(key: BlobKey): Promise<void>;
  /** Lists every key below a prefix such as `blobs/`, in no order. */
  list(prefix: string): AsyncIterable<BlobKey>;
  /** The names of the folders directly in a folder of the data, such as `shards`. */
  folders(parent: BlobFolder): Promise<string[]>;
  /** Removes staged copies that no live process owns; returns how many. Called at start, under the server's lock. */
  sweep(): Promise<number>;
  /** Bytes that can be written before the reserve is reached; undefined when the driver has no limit. */
  free(): Promise<number | undefined>;
  /** Tries the storage at start. Errors: `usage`, with what to do, when it cannot be used. */
  probe(): Promise<void>;
  /** Asks a storage that is elsewhere. Errors: `unavailable` when it does not answer in a few seconds, or refuses. */
  requireReady(): Promise<void>;
  /** A URL that gives the blob to anybody for five minutes; only where the storage has such and they are wanted. */
  readonly signedUrl?: ((key: BlobKey, download: SignedDownload) => Promise<string>) | undefined;
};
