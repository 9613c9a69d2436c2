// Builds every path that content is stored under; no other code builds one.
//
//   blobs/aa/bb/{sha256}         a package exactly as uploaded; aa and bb are the hash's first four digits
//   files/aa/bb/{sha256}         the list of files in that package, under the package's hash
//   shards/{channel}/{sha256}    a shard of a channel, under the hash of its compressed bytes
//   store-id                     the identity of the registry, when the database is elsewhere
//
// The disk holds two more folders that no key leads to: `tmp/` with files being written, and `derived/` with the
// documents of `derived-files.ts`.

import type { BlobKey } from "./blob-store.ts";

/** The folder of temporary files of one of several processes, below `tmp/`. */
export const stagingName = (slot: number): string => `process-${slot}`;
export const STAGING = /^process-\d+$/;

export const FOLDERS = ["blobs", "files", "shards"] as const;

const SHA256 = /^[0-9a-f]{64}$/;
const PART = "[a-z0-9][a-z0-9._-]{0,127}";
const KEY = new RegExp(`^(?:store-id|(?:${FOLDERS.join("|")})(?:/${PART}){1,4})$`);
const PREFIX = new RegExp(`^(?:${FOLDERS.join("|")})/(?:${PART}/){0,3}$`);

export const STORE_ID_KEY: BlobKey = checkKey("store-id");

export function blobKey(sha256: string): BlobKey {
  return spread("blobs", sha256);
}

export function fileListKey(sha256: string): BlobKey {
  return spread("files", sha256);
}

export function shardKey(channelId: number, sha256: string): BlobKey {
  return checkKey(`shards/${channelPart(channelId)}/${checkHash(sha256)}`);
}

/** Whether `text` is a key. Drivers use this for the files that they find. */
export function isBlobKey(text: string): text is BlobKey {
  return KEY.test(text);
}

/** Checks a key. Drivers call this for every key they receive, since the type does not prevent casts. */
export function checkKey(text: string): BlobKey {
  if (!isBlobKey(text)) throw new Error(`not a storage key: ${JSON.stringify(text.slice(0, 100))}`);
  return text;
}

/** Checks a folder of keys, written with a final slash. */
export function checkPrefix(prefix: string): string {
  if (!PREFIX.test(prefix)) throw new Error(`not a folder of keys: ${JSON.stringify(prefix.slice(0, 100))}`);
  return prefix;
}

/** Whether `text` is a sha256 in the form that keys contain. */
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
