// What documents are sent from: bytes in memory for small ones, or a derived file, which can be deleted by hand.

import type { DerivedFiles } from "../../../modules/storage/derived-files.ts";
import type { Bodies, ByteRange, Sendable } from "../../bodies.ts";

export type SendableDocument = Sendable & {
  /** Whether it can still be read. */
  exists(): boolean;
};

export function sendableBytes(blob: Blob): SendableDocument {
  return {
    size: blob.size,
    heldBytes: blob.size,
    exists: () => true,
    replayable: () => blob,
    open: async ({ range }) => (range ? blob.slice(range.start, range.end + 1) : blob),
  };
}

export function sendableFile(
  { files, bodies }: { readonly files: DerivedFiles; readonly bodies: Bodies },
  folder: string,
  hash: string,
  size: number,
): SendableDocument {
  const path = files.pathOf(folder, hash, size);
  const exists = (): boolean => files.has(folder, hash, size);
  const stored = {
    key: path,
    size,
    open: (range?: ByteRange) => (range ? Bun.file(path).slice(range.start, range.end + 1) : Bun.file(path)),
  };
  return {
    size,
    heldBytes: 0,
    exists,
    open: (asked) => bodies.open(stored, asked),
    replayable: (asked) => {
      if (!exists()) return undefined;
      return bodies.isSentFromFile(size) ? stored.open() : bodies.kept(stored, asked);
    },
  };
}
