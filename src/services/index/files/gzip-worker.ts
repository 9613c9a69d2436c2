// Compresses documents with gzip in a worker thread.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { createDerivedFiles } from "../../../modules/storage/derived-files.ts";

/** With `bytes`, the worker returns bytes; without, it reads the document's file and writes a gzip file. */
export type PackRequest = {
  readonly dataFolder: string;
  readonly folder: string;
  readonly hash: string;
  readonly size: number;
  readonly bytes: Uint8Array | undefined;
};
export type PackReply = { readonly size: number; readonly bytes: Uint8Array<ArrayBuffer> | undefined };
export type PackJobs = {
  readonly pack: { readonly input: { readonly request: PackRequest }; readonly answer: PackReply };
};

export function packDocument({ dataFolder, folder, hash, size, bytes }: PackRequest): PackReply {
  if (bytes) {
    const packed = new Uint8Array(gzipSync(bytes));
    return { size: packed.byteLength, bytes: packed };
  }
  const files = createDerivedFiles(dataFolder);
  const packed = gzipSync(readFileSync(files.pathOf(folder, hash, size)));
  return { size: files.write(packedFolder(folder), hash, [packed]), bytes: undefined };
}

/** The folder of the gzip files of a document folder. */
export function packedFolder(folder: string): string {
  return `${folder}.gz`;
}
