// How much may be stored of a package for documents, so that each of them can be made in little memory.

/** Bytes of a file's record, run exports and about together. */
export const STORED_BYTES: number = 256 * 1024;

/** Bytes of all that is said of a name in one subdir, as a shard before compression. */
export const SHARD_BYTES: number = 32 * 1024 ** 2;
