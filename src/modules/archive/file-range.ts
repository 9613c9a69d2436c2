// Reads ranges of an open file without loading the complete file. Synchronous, as it runs in worker threads.

import { readSync } from "node:fs";

const CHUNK = 1024 ** 2;

export function readAt(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length;) at += readSome(fd, bytes, at, length, position + at);
  return bytes;
}

/** Yields a range in chunks. All chunks share one buffer: each overwrites the one before. */
export function* readRange(fd: number, start: number, length: number): Generator<Uint8Array, void, undefined> {
  const buffer = Buffer.alloc(Math.min(CHUNK, length));
  for (let at = 0; at < length;) {
    const count = readSome(fd, buffer, 0, Math.min(buffer.length, length - at), start + at);
    at += count;
    yield buffer.subarray(0, count);
  }
}

function readSome(fd: number, buffer: Buffer, from: number, to: number, position: number): number {
  const count = readSync(fd, buffer, from, to - from, position);
  if (count === 0) throw new Error("The file was truncated while it was read.");
  return count;
}
