// Stores blobs as objects of an S3 bucket. Uploads are staged on the local disk, where they are hashed and inspected.

import {
  AbortMultipartUploadCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
} from "@aws-sdk/client-s3";
import { AppError } from "../../../errors.ts";
import { randomHex } from "../../ids.ts";
import { systemClock } from "../../clock.ts";
import { createSha256 } from "../../hash.ts";
import type { BlobInfo, BlobKey, BlobStore, StagedBlob } from "../blob-store.ts";
import type { S3Description } from "../description.ts";
import { createDiskStore, type DiskStoreOptions } from "../disk.ts";
import { checkKey, checkPrefix, isBlobKey } from "../keys.ts";
import { storageDown } from "./breaker.ts";
import { deleteObject } from "./delete.ts";
import { isMissing, startFault } from "./faults.ts";
import { createReader } from "./read.ts";
import { createRequests, type Limits, type Requests } from "./requests.ts";
import { signedUrl } from "./signed-url.ts";
import { putBytes, putFile, SMALL_BYTES, type LocalFile, type Target } from "./upload.ts";

/** The data folder in `root` has the staged uploads. */
export type S3StoreOptions = Omit<DiskStoreOptions, "failpoint"> & {
  readonly description: S3Description;
  /** Whether downloads may be sent to the bucket itself. */
  readonly offersUrls: boolean;
  readonly failpoint?: ((name: string) => void) | undefined;
};

type Bucket = {
  readonly description: S3Description;
  readonly requests: Requests;
  readonly targetOf: (key: BlobKey) => Target;
};

/** For a health check, which has to answer soon. */
const READY: Limits = { attemptMs: 2000, totalMs: 4000 };
const READY_RETRY_AFTER = 60;
/** Uploads in parts that no process can still be sending. */
const ABANDONED_MS = 24 * 60 * 60 * 1000;

export function createS3Store(options: S3StoreOptions): BlobStore {
  const { description, requireFiles = () => undefined, failpoint = () => undefined } = options;
  const disk = createDiskStore({ ...options, failpoint: onlyStaging(failpoint) });
  const requests = createRequests(description);
  const targetOf = (key: BlobKey): Target => ({
    Bucket: description.bucket,
    Key: description.prefix + checkKey(key),
  });
  const bucket = { description, requests, targetOf };
  const promote: Promote = async (key, file) => {
    const target = targetOf(key);
    requireFiles();
    // A small file is sent as fast as the question whether it is there.
    if (file.size > SMALL_BYTES && (await isStored(bucket, target, file))) return;
    await putFile(requests, target, file);
    failpoint("p4.stored");
  };
  const put = async (key: BlobKey, content: Uint8Array): Promise<void> => {
    const target = targetOf(key);
    requireFiles();
    await putBytes(requests, target, content);
  };
  return {
    free: disk.free,
    stage: async (announced) => stagedFor(await disk.stage(announced), promote),
    put,
    putDerived: put,
    stat: async (key) => await infoOf(bucket, targetOf(key)),
    open: createReader(bucket),
    delete: async (key) => await deleteObject(requests, targetOf(key)),
    list: (prefix) => keysBelow(bucket, checkPrefix(prefix)),
    folders: async (parent) => await foldersIn(bucket, `${parent}/`),
    sweep: async () => {
      const swept = await disk.sweep();
      // An upload that stays costs space alone, and some services have no such list.
      await abortAbandoned(bucket).catch(() => undefined);
      return swept;
    },
    probe: async () => await probe(bucket),
    requireReady: async () => await requireReady(bucket),
    signedUrl: options.offersUrls
      ? async (key, download) => await signedUrl(requests.client, targetOf(key), download)
      : undefined,
  };
}

/** The disk's other steps are those of a blob that it stores itself. */
function onlyStaging(failpoint: (name: string) => void): (name: string) => void {
  return (name) => {
    if (name === "p1.temp_open" || name === "p3.temp_fsynced") failpoint(name);
  };
}

type Promote = (key: BlobKey, file: LocalFile) => Promise<void>;

function stagedFor(staged: StagedBlob, promote: Promote): StagedBlob {
  const hash = createSha256();
  let sha256: string | undefined;
  return {
    path: staged.path,
    get size() {
      return staged.size;
    },
    append: async (chunk) => {
      await staged.append(chunk);
      hash.update(chunk);
    },
    sync: async () => {
      await staged.sync();
      sha256 = hash.digest("base64");
    },
    promote: async (key) => {
      checkKey(key);
      if (sha256 === undefined) throw new Error("only a synced blob can be promoted");
      await promote(key, { path: staged.path, size: staged.size, sha256 });
    },
    discard: async () => {
      sha256 = undefined;
      await staged.discard();
    },
  };
}

/** Whether the service has exactly this content, by its own checksum; false when it reports none of the whole object. */
async function isStored({ requests }: Bucket, target: Target, file: LocalFile): Promise<boolean> {
  const head = await headOf(requests, target);
  return head?.ContentLength === file.size && head.ChecksumSHA256 === file.sha256;
}

async function infoOf({ requests }: Bucket, target: Target): Promise<BlobInfo | undefined> {
  const head = await headOf(requests, target);
  if (!head) return undefined;
  const { ContentLength: size, LastModified: modified } = head;
  if (size === undefined || !modified) throw new Error(`the storage gave no size or no date of ${target.Key}`);
  return { size, modified: modified.getTime() };
}

async function headOf({ client, run }: Requests, target: Target) {
  const command = new HeadObjectCommand({ ...target, ChecksumMode: "ENABLED" });
  try {
    return await run((abortSignal) => client.send(command, { abortSignal }));
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function* keysBelow(bucket: Bucket, prefix: string): AsyncGenerator<BlobKey, void, undefined> {
  for await (const { keys } of pagesBelow(bucket, prefix)) yield* keys.filter((key) => isBlobKey(key));
}

async function foldersIn(bucket: Bucket, parent: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { folders } of pagesBelow(bucket, parent, "/"))
    names.push(...folders.map((folder) => folder.slice(parent.length, -1)));
  return names;
}

type Page = { readonly keys: readonly string[]; readonly folders: readonly string[] };

async function* pagesBelow(bucket: Bucket, prefix: string, delimiter?: string): AsyncGenerator<Page, void, undefined> {
  const { client, run } = bucket.requests;
  const { bucket: Bucket, prefix: own } = bucket.description;
  for (let token: string | undefined, isFirst = true; isFirst || token !== undefined; isFirst = false) {
    const command = new ListObjectsV2Command({
      Bucket,
      Prefix: own + prefix,
      Delimiter: delimiter,
      ContinuationToken: token,
    });
    const page = await run((abortSignal) => client.send(command, { abortSignal }));
    const withoutPrefix = (key: string | undefined): string[] =>
      key?.startsWith(own) === true ? [key.slice(own.length)] : [];
    yield {
      keys: (page.Contents ?? []).flatMap(({ Key }) => withoutPrefix(Key)),
      folders: (page.CommonPrefixes ?? []).flatMap(({ Prefix }) => withoutPrefix(Prefix)),
    };
    token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
  }
}

/** Only the first page, which has a thousand: a later sweep finds the others. */
async function abortAbandoned({ description, requests }: Bucket): Promise<void> {
  const { bucket: Bucket, prefix: Prefix } = description;
  const { client, run } = requests;
  const list = new ListMultipartUploadsCommand({ Bucket, Prefix });
  const { Uploads: uploads = [] } = await run((abortSignal) => client.send(list, { abortSignal }));
  for (const { Key, UploadId, Initiated } of uploads) {
    const isOurs = Key?.startsWith(Prefix) === true && isBlobKey(Key.slice(Prefix.length));
    if (!isOurs || !Initiated || Initiated.getTime() > systemClock.now() - ABANDONED_MS) continue;
    const abort = new AbortMultipartUploadCommand({ Bucket, Key, UploadId });
    await run((abortSignal) => client.send(abort, { abortSignal }));
  }
}

async function requireReady({ description, requests: { client, run } }: Bucket): Promise<void> {
  const command = new HeadBucketCommand({ Bucket: description.bucket });
  try {
    await run((abortSignal) => client.send(command, { abortSignal }), READY);
  } catch (error) {
    // A bucket that is missing.
    throw error instanceof AppError ? error : storageDown(READY_RETRY_AFTER, error);
  }
}

/** Writes, reads and deletes one object, so that a missing right shows at the start and not at the first upload. */
async function probe(bucket: Bucket): Promise<void> {
  const { description, requests } = bucket;
  const target = { Bucket: description.bucket, Key: `${description.prefix}probe/${randomHex(16)}` };
  try {
    await foldersIn(bucket, "probe/");
    await putBytes(requests, target, new TextEncoder().encode("condarium tests whether it can write here\n"));
    if (!(await headOf(requests, target))) throw new Error("an object that was just stored is not there");
    await deleteObject(requests, target);
  } catch (error) {
    throw startFault(error, description);
  }
}
