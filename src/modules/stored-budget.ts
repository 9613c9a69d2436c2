// Limits for the data stored about files, without their bytes: everything built from it must fit in little memory.

/** Bytes stored about one file: its record and its metadata. */
export const STORED_BYTES: number = 256 * 1024;

/** Bytes stored about all files of one name in one section. */
export const NAME_BYTES: number = 32 * 1024 ** 2;
