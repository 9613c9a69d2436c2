// Publishing for every package type: authorise, stage, ask the type what it is, authorise again, promote, commit.

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
import { channelLabel, findChannelRef, type ChannelRef } from "./channel-ref.ts";
import type { Channels, OneChannel } from "./channels.ts";
import type { PackageTypes } from "./package-type.ts";
import type { NewFile, Packages } from "./packages.ts";
import type { Incoming, StagedFile, Staging } from "./staging.ts";

/** A file that somebody sends, and how its package type reads it. */
export type Submission<Read extends ReadFile> = {
  readonly actor: RequestActor;
  readonly channel: OneChannel;
  /** The package, where the address says it. */
  readonly packageName?: string | undefined;
  /** As the address has it, for the log. */
  readonly subject: string;
  readonly incoming: Incoming;
  /** Runs every check and stores nothing. */
  readonly dryRun: boolean;
  /** Throws what the address alone refuses, before a byte of the body is read. */
  refuseAddress(): void;
  /** What the bytes are; `place` is what was there when they began to arrive. */
  read(staged: StagedFile, from: { readonly ref: ChannelRef; readonly account: string }): Promise<Read> | Read;
};

/** What a package type makes of the bytes. */
export type ReadFile = {
  readonly file: NewFile;
  /** The list of the files inside, which is kept beside the blob. */
  readonly fileList?: Uint8Array | undefined;
  /** The rules that the package breaks without being refused. */
  readonly rules: readonly string[];
};

export type Submitted<Read extends ReadFile> = {
  readonly read: Read;
  /** ms UTC; null for a dry run, as is `revision`. */
  readonly at: number | null;
  readonly revision: number | null;
};

/** Errors: those of the gate, of staging, of admission, of `Packages.checkFile()`, and whatever the type refuses. */
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
    const ref = await authorise(parts, submission);
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

/** The early refusal, before a byte of the body is read. What the package really is gets checked again later. */
async function authorise(parts: PublishingParts, submission: AnySubmission): Promise<ChannelRef> {
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
    await parts.access.require(actor, "publish", targetOf(submission, read.file), parts.database.read);
    await checkFile(parts, submission.channel, read.file);
    if (submission.dryRun) return { read, at: null, revision: null };
    await staged.durable();
    return { read, ...(await store(parts, submission, { staged, read })) };
  } finally {
    await staged.discard();
  }
}

/** What is there already must leave no bytes behind; the transaction looks once more. */
async function checkFile(parts: PublishingParts, name: OneChannel, file: NewFile): Promise<void> {
  const reader = parts.database.read;
  const ref = await findChannelRef(reader, name.owner, name.channel, name.type);
  if (ref?.channel) await parts.packages.checkFile(reader, ref.channel, file);
}

type Ready = { readonly staged: StagedFile; readonly read: ReadFile };
type Stored = { readonly revision: number; readonly at: number };

async function store(parts: PublishingParts, submission: AnySubmission, ready: Ready): Promise<Stored> {
  const { staged, read } = ready;
  try {
    await both(
      staged.promote(blobKey(staged.sha256)),
      ...(read.fileList ? [parts.blobs.putDerived(fileListKey(staged.sha256), read.fileList)] : []),
    );
    return await parts.database.transact((tx) => commit(parts, submission, ready, tx));
  } catch (error) {
    // What cannot be taken back now is collected later, and nobody waits for a busy database twice.
    const isBusy = error instanceof AppError && error.code === "unavailable";
    if (!isBusy) await takeBack(parts, staged.sha256).catch(() => undefined);
    throw error;
  }
}

/** In a transaction: a publish of the same bytes either has committed by then, or finds them gone and puts them back. */
async function takeBack({ database, blobs }: PublishingParts, sha256: string): Promise<void> {
  await database.transact(async (tx) => {
    if ((await knownBlobs(tx, [sha256])).has(sha256)) return;
    await blobs.delete(blobKey(sha256));
    await blobs.delete(fileListKey(sha256));
  });
}

/** Two durable steps side by side; neither is still under way when this ends, whatever the other did. */
async function both(...steps: readonly Promise<void>[]): Promise<void> {
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
  await putBack(parts.blobs, staged, read.fileList);
  return change;
}

/** What was collected or damaged between the promotion and this moment is put in place again. */
async function putBack(blobs: BlobStore, staged: StagedFile, fileList: Uint8Array | undefined): Promise<void> {
  const [key, listKey] = [blobKey(staged.sha256), fileListKey(staged.sha256)];
  const info = await blobs.stat(key);
  if (info?.size !== staged.size) await staged.promote(key);
  if (!fileList) return;
  const list = await blobs.stat(listKey);
  if (list?.size !== fileList.byteLength) await blobs.putDerived(listKey, fileList);
}
