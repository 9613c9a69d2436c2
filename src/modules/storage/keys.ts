// Every path under which content is kept. Nothing else in the code builds one.
//
//   blobs/aa/bb/{sha256}         a package as it was uploaded; aa and bb are the hash's first four digits
//   files/aa/bb/{sha256}         the list of the files in that package, under the package's hash
//   shards/{channel}/{sha256}    a shard of a channel, under the hash of its compressed bytes
//
// On disk two more lie beside them, which no key reaches: `tmp/`, what is being written, and `derived/`, the documents
// of `derived-files.ts`.

import type { BlobKey } from "./blob-store.ts";

export const FOLDERS = ["blobs", "files", "shards"] as const;

const SHA256 = /^[0-9a-f]{64}$/;
const PART = "[a-z0-9][a-z0-9._-]{0,127}";
const KEY = new RegExp(`^(?:${FOLDERS.join("|")})(?:/${PART}){1,4}$`);
const PREFIX = new RegExp(`^(?:${FOLDERS.join("|")})/(?:${PART}/){0,3}$`);

export function blobKey(sha256: string): BlobKey {
  return spread("blobs", sha256);
}

export function fileListKey(sha256: string): BlobKey {
  return spread("files", sha256);
}

export function shardKey(channelId: number, sha256: string): BlobKey {
  return checkKey(`shards/${channelPart(channelId)}/${checkHash(sha256)}`);
}

/** Whether `text` is a key; what drivers ask of files they find. */
export function isBlobKey(text: string): text is BlobKey {
  return KEY.test(text);
}

/** What drivers ask of keys they are given: the type alone stops no cast. */
export function checkKey(text: string): BlobKey {
  if (!isBlobKey(text)) throw new Error(`not a storage key: ${JSON.stringify(text.slice(0, 100))}`);
  return text;
}

/** A folder of keys, with its final slash. */
export function checkPrefix(prefix: string): string {
  if (!PREFIX.test(prefix)) throw new Error(`not a folder of keys: ${JSON.stringify(prefix.slice(0, 100))}`);
  return prefix;
}

/** Whether `text` is a sha256 as keys hold it. */
export function isHash(text: string): boolean {
  return SHA256.test(text);
}

function spread(folder: (typeof FOLDERS)[number], sha256: string): BlobKey {
  const hash = checkHash(sha256);
  return checkKey(`${folder}/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${hash}`);
}

function checkHash(sha256: string): string {
  if (!SHA256.test(sha256)) throw new Error("not a sha256 in lower-case hexadecimal");
  return sha256;
}

function channelPart(channelId: number): string {
  if (!Number.isSafeInteger(channelId) || channelId < 0) throw new Error("not the number of a channel");
  return String(channelId);
}
