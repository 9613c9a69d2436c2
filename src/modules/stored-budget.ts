// How much may be stored of files beside their bytes: whatever is made of it has to fit into little memory.

/** Bytes of what is stored of one file: its record and its metadata. */
export const STORED_BYTES: number = 256 * 1024;

/** Bytes of what is stored of all files that a name has in one section. */
export const NAME_BYTES: number = 32 * 1024 ** 2;
