// The part of compressjs that is used: bzip2 on whole buffers. The package ships no types.

declare module "compressjs/lib/Bzip2.js" {
  const bzip2: {
    /** `level` 1 to 9 is the block size in units of 100,000 bytes. */
    compressFile(bytes: Uint8Array, output?: undefined, level?: number): Uint8Array;
    /** Reads the first stream only unless `multistream`. */
    decompressFile(bytes: Uint8Array, output?: undefined, multistream?: boolean): Uint8Array;
  };
  export default bzip2;
}
