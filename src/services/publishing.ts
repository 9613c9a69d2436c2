// Publishing for every package type: authorize, stage, let the type read the file, authorize again, promote, commit.

import { AppError, invalidArgument } from "../errors.ts";
import type { Events } from "../events.ts";
import type { ChannelRow } from "../models/channel.ts";
import type { Database, Transaction } from "../models/database.ts";
import { knownBlobs } from "../models/package-blob.ts";
import type { BlobStore } from "../modules/storage/blob-store.ts";
import { blobKey, fileListKey } from "../modules/storage/keys.ts";
import type { Access } from "./access.ts";
import { tokenOf, userOf, type RequestActor } from "./actor.ts";
import type { Admission, Upload, Uploader } from "./admission.ts";
import { channelLabel, type ChannelRef } from "./channel-ref.ts";
import type { OneChannel } from "./channel-ref.ts";
import type { Channels } from "./channels.ts";
import type { PackageTypes } from "./package-type.ts";
import type { NewFile, Packages } from "./packages.ts";
import type { Incoming, StagedFile, Staging } from "./staging.ts";

/** An uploaded file, and how its package type reads it. */
export type Submission<Read extends ReadFile> = {
  readonly actor: RequestActor;
  readonly channel: OneChannel;
  /** The package name, if the URL contains it. */
  readonly packageName?: string | undefined;
  /** The file as named in the URL, for the log. */
  readonly subject: string;
  readonly incoming: Incoming;
  /** Run every check, but store nothing. */
  readonly dryRun: boolean;
  /** Throws if the URL alone is invalid, before any byte of the body is read. */
  refuseAddress(): void;
  /** Reads the package from the bytes; `from.ref` is the channel reference from before the upload. */
  read(staged: StagedFile, from: { readonly ref: ChannelRef; readonly account: string }): Promise<Read> | Read;
};

/** What a package type has read from the bytes. */
export type ReadFile = {
  readonly file: NewFile;
  /** The list of the files in the package, stored beside the blob. */
  readonly fileList?: Uint8Array | undefined;
  /** The rules that the package breaks but that do not refuse it. */
  readonly rules: readonly string[];
};

export type Submitted<Read extends ReadFile> = {
  readonly read: Read;
  /** ms UTC; null for a dry run, like `revision`. */
  readonly at: number | null;
  readonly revision: number | null;
};

/** Errors: those of `Access.require()`, staging, admission and `Packages.checkFile()`, and the refusals of the type. */
export type Publishing = <Read extends ReadFile>(submission: Submission<Read>) => Promise<Submitted<Read>>;

export type PublishingParts = {
  readonly database: Database;
  readonly blobs: BlobStore;
  readonly access: Access;
  readonly channels: Channels;
  readonly packages: Packages;
  readonly staging: Staging;
  readonly events: Events;
  readonly types: PackageTypes;
  readonly admit: Admission["admit"];
};

export function createPublishing(parts: PublishingParts): Publishing {
  return async (submission) => {
    const ref = await authorize(parts, submission);
    const { owner, channel: name, type } = submission.channel;
    const channel = channelLabel(owner, name, type);
    try {
      const submitted = await parts.admit(uploaderOf(submission), (upload) => receive(parts, submission, ref, upload));
      const { file, rules } = submitted.read;
      const result = submission.dryRun ? "checked" : "created";
      parts.events.publishEnded({ channel, file: `${file.section}/${file.fileName}`, result, rules });
      return submitted;
    } catch (error) {
      const result = error instanceof AppError && error.code === "conflict" ? "conflict" : "refused";
      const rules = error instanceof AppError ? [error.code] : ["error"];
      parts.events.publishEnded({ channel, file: submission.subject, result, rules });
      throw error;
    }
  };
}

type AnySubmission = Submission<ReadFile>;

function uploaderOf({ actor }: AnySubmission): Uploader {
  const account = accountOf(actor);
  const token = tokenOf(actor);
  if (!token) return { account, credential: "password", name: `The password of ${account}` };
  const { id, name } = token;
  return { account, credential: `token ${id}`, name: `The token ${name} of ${account}` };
}

function accountOf(actor: RequestActor): string {
  return userOf(actor)?.owner.name ?? "";
}

/** Refuses early, before any byte of the body is read. `receive()` checks again with the actual package. */
async function authorize(parts: PublishingParts, submission: AnySubmission): Promise<ChannelRef> {
  const ref = await parts.access.require(submission.actor, "publish", targetOf(submission));
  const problem = parts.types.named(ref.type).channelNameProblem(ref.name);
  if (problem !== undefined) throw invalidArgument(`Invalid channel name: ${problem}.`);
  submission.refuseAddress();
  return ref;
}

function targetOf({ channel, packageName }: AnySubmission, file?: NewFile) {
  return { kind: "channel", ...channel, packageName: file?.packageName ?? packageName } as const;
}

async function receive<Read extends ReadFile>(
  parts: PublishingParts,
  submission: Submission<Read>,
  ref: ChannelRef,
  upload: Upload,
): Promise<Submitted<Read>> {
  const { actor } = submission;
  const staged = await parts.staging.receive(submission.incoming, upload);
  try {
    const read = await submission.read(staged, { ref, account: accountOf(actor) });
    const reader = parts.database.read;
    // The early look; the transaction checks both again.
    const { channel } = await parts.access.require(actor, "publish", targetOf(submission, read.file), reader);
    if (channel) await parts.packages.checkFile(reader, channel, read.file);
    if (submission.dryRun) return { read, at: null, revision: null };
    await staged.durable();
    return { read, ...(await store(parts, submission, { staged, read })) };
  } finally {
    await staged.discard();
  }
}

type Ready = { readonly staged: StagedFile; readonly read: ReadFile };
type Stored = { readonly revision: number; readonly at: number };

async function store(parts: PublishingParts, submission: AnySubmission, ready: Ready): Promise<Stored> {
  const { staged, read } = ready;
  try {
    await allOf(
      staged.promote(blobKey(staged.sha256)),
      ...(read.fileList ? [parts.blobs.putDerived(fileListKey(staged.sha256), read.fileList)] : []),
    );
    return await parts.database.transact((tx) => commit(parts, submission, ready, tx));
  } catch (error) {
    // Garbage collection deletes blobs that remain here; a busy database is not waited for twice.
    const isBusy = error instanceof AppError && error.code === "unavailable";
    if (!isBusy) await deleteUnknownBlob(parts, staged.sha256).catch(() => undefined);
    throw error;
  }
}

/** In a transaction: a publish of the same bytes has either committed, or finds the blob missing and restores it. */
async function deleteUnknownBlob({ database, blobs }: PublishingParts, sha256: string): Promise<void> {
  await database.transact(async (tx) => {
    if ((await knownBlobs(tx, [sha256])).has(sha256)) return;
    await blobs.delete(blobKey(sha256));
    await blobs.delete(fileListKey(sha256));
  });
}

/** Runs durable steps concurrently and waits for all of them, even when one fails. */
async function allOf(...steps: readonly Promise<void>[]): Promise<void> {
  const outcomes = await Promise.allSettled(steps);
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}

async function commit(
  parts: PublishingParts,
  submission: AnySubmission,
  { staged, read }: Ready,
  tx: Transaction,
): Promise<Stored> {
  const { actor } = submission;
  const ref = await parts.access.require(actor, "publish", targetOf(submission, read.file), tx);
  const channel: ChannelRow = await parts.channels.ensure(tx, ref, actor);
  const change = await parts.packages.addFile(tx, channel, read.file, actor);
  await restoreMissing(parts.blobs, staged, read.fileList);
  return change;
}

/** Restores files that were collected or damaged since the promotion. */
async function restoreMissing(blobs: BlobStore, staged: StagedFile, fileList: Uint8Array | undefined): Promise<void> {
  const [key, listKey] = [blobKey(staged.sha256), fileListKey(staged.sha256)];
  const info = await blobs.stat(key);
  if (info?.size !== staged.size) await staged.promote(key);
  if (!fileList) return;
  const list = await blobs.stat(listKey);
  if (list?.size !== fileList.byteLength) await blobs.putDerived(listKey, fileList);
}
