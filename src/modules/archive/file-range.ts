// Reads parts of an open file without loading it; in a worker thread, so synchronously.

import { readSync } from "node:fs";

const CHUNK = 1024 ** 2;

export function readAt(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length;) at += readSome(fd, bytes, at, length, position + at);
  return bytes;
}

/** The chunks of a part, in one buffer that each chunk overwrites. */
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
  if (count === 0) throw new Error("The file became shorter while it was read.");
  return count;
}
