// Types for the part of compressjs in use, bzip2 on complete buffers: the package ships none.

declare module "compressjs/lib/Bzip2.js" {
  const bzip2: {
    /** `level` 1 to 9 is the block size in units of 100,000 bytes. */
    compressFile(bytes: Uint8Array, output?: undefined, level?: number): Uint8Array;
    /** Decodes only the first stream unless `multistream` is true. */
    decompressFile(bytes: Uint8Array, output?: undefined, multistream?: boolean): Uint8Array;
  };
  export default bzip2;
}
