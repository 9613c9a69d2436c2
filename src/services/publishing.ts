// Publishing for every package type: authorize, stage, let the type read the file, authorize again, promote, commit.

import { AppError, invalidArgument } from "../errors.ts";
import type { Events, PublishSummary } from "../events.ts";
import { forgetDeletion, mayBeDeleted, noteDeletions } from "../models/blob-deletion.ts";
import type { ChannelRow } from "../models/channel.ts";
import type { Database, Transaction } from "../models/database.ts";
import { lockBlob, lockChannel } from "../models/locks.ts";
import { knownBlobs } from "../models/package-blob.ts";
import { allOf } from "../modules/all-of.ts";
import type { Clock } from "../modules/clock.ts";
import type { BlobStore } from "../modules/storage/blob-store.ts";
import { blobKey, fileListKey } from "../modules/storage/keys.ts";
import { isBoundToPackages } from "./access-rules.ts";
import type { Access } from "./access.ts";
import { tokenOf, userOf, type RequestActor } from "./actor.ts";
import type { Admission, Upload, Uploader } from "./admission.ts";
import { channelLabel, type ChannelRef, type OneChannel } from "./channel-ref.ts";
import type { Channels } from "./channels.ts";
import { existingInstead, findExisting, type Candidate, type IfExists, type SkippedFile } from "./existing-file.ts";
import type { PackageTypes } from "./package-type.ts";
import type { NewFile, Packages } from "./packages.ts";
import { similarChannels } from "./similar-channels.ts";
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
  readonly ifExists: IfExists;
  /** The name to store the file under, where the URL alone decides it. */
  readonly fixedName?: Candidate | undefined;
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

export type Submitted<Read extends ReadFile> =
  | {
      readonly kind: "new";
      readonly read: Read;
      /** ms UTC; null for a dry run, like `revision`. */
      readonly at: number | null;
      readonly revision: number | null;
      /** Whether the publish creates the channel; for a dry run, whether it would. */
      readonly channelCreated: boolean;
      /** For a created channel: the labels of channels with a similar name. */
      readonly similarChannels: readonly string[];
    }
  | { readonly kind: "skipped"; readonly file: SkippedFile };

/**
 * Errors: those of `Access.require()`, staging, admission and `Packages.checkFile()`, and the refusals of the type;
 * `precondition-failed` when the file exists and must not.
 */
export type Publishing = <Read extends ReadFile>(submission: Submission<Read>) => Promise<Submitted<Read>>;

export type PublishingParts = {
  readonly clock: Clock;
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
    const { requestId } = submission.actor;
    try {
      await refusePresent(parts, submission, ref);
      const submitted = await parts.admit(uploaderOf(submission), (upload) => receive(parts, submission, ref, upload));
      parts.events.publishEnded({ requestId, channel, ...summaryOf(submitted, submission) });
      return submitted;
    } catch (error) {
      const exists = error instanceof AppError && (error.code === "conflict" || error.code === "precondition-failed");
      const result = exists ? "conflict" : "refused";
      parts.events.publishEnded({ requestId, channel, file: submission.subject, result, rules: rulesOf(error) });
      throw error;
    }
  };
}

type AnySubmission = Submission<ReadFile>;

function summaryOf(
  submitted: Submitted<ReadFile>,
  { dryRun }: AnySubmission,
): Omit<PublishSummary, "channel" | "requestId"> {
  const { section, fileName } = submitted.kind === "new" ? submitted.read.file : submitted.file;
  const file = `${section}/${fileName}`;
  if (submitted.kind === "skipped") return { file, result: "skipped", rules: [] };
  return { file, result: dryRun ? "checked" : "created", rules: submitted.read.rules };
}

/** The rules of the findings of a refused package; for any other error its code. */
function rulesOf(error: unknown): readonly string[] {
  if (!(error instanceof AppError)) return ["error"];
  const rules = error.facts.rules ?? [];
  return rules.length > 0 ? rules : [error.code];
}

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

/** Refuses early, before any byte of the body is read. The transaction decides again, with the actual package. */
async function authorize(parts: PublishingParts, submission: AnySubmission): Promise<ChannelRef> {
  const ref = await parts.access.require(submission.actor, "publish", targetOf(submission));
  const problem = parts.types.named(ref.type).channelNameProblem(ref.name);
  if (problem !== undefined)
    throw invalidArgument(`Invalid channel name: ${problem}. A valid name is, for example, main.`);
  submission.refuseAddress();
  return ref;
}

/** Refuses before the body is read when the URL alone names a file that must not exist. */
async function refusePresent(parts: PublishingParts, submission: AnySubmission, ref: ChannelRef): Promise<void> {
  if (submission.ifExists === "require-absent") await existingEarly(parts, submission, ref.channel, undefined);
}

/** Looks for the file that the URL alone names; the rights are checked with the name of the stored package. */
async function existingEarly(
  { database, access }: PublishingParts,
  submission: AnySubmission,
  channel: ChannelRow | undefined,
  sha256: string | undefined,
): Promise<SkippedFile | undefined> {
  const { fixedName, ifExists, actor } = submission;
  if (!fixedName || ifExists === "refuse") return undefined;
  const existing = await findExisting(database.read, channel, fixedName);
  if (!existing) return undefined;
  const now = await access.require(actor, "publish", targetOf(submission, existing), database.read);
  return await existingInstead(database.read, ifExists, now.channel, { ...fixedName, sha256 });
}

function targetOf({ channel, packageName }: AnySubmission, file?: Pick<NewFile, "packageName">) {
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
    const early = await existingEarly(parts, submission, ref.channel, staged.sha256);
    if (early) return { kind: "skipped", file: early };
    const read = await submission.read(staged, { ref, account: accountOf(actor) });
    const reader = parts.database.read;
    // These checks refuse before the bytes are promoted; the transaction repeats them.
    const now = isNameDecisive(submission)
      ? await parts.access.require(actor, "publish", targetOf(submission, read.file), reader)
      : ref;
    const file = await existingInstead(reader, submission.ifExists, now.channel, candidateOf(read));
    if (file) return { kind: "skipped", file };
    await parts.packages.checkFile(reader, now.channel, read.file, submission.ifExists);
    if (!submission.dryRun) await staged.durable();
    const stored = submission.dryRun ? checkedOnly(now) : await store(parts, submission, { staged, read, from: now });
    if (stored.kind === "skipped") return stored;
    const similar = stored.channelCreated ? await similarChannels({ ...parts, reader }, actor, now) : [];
    return { ...stored, read, similarChannels: similar };
  } finally {
    await staged.discard();
  }
}

/** Whether the package name, known only now, can change the verdict, or the response is given without a transaction. */
function isNameDecisive({ actor, dryRun, ifExists }: AnySubmission): boolean {
  return dryRun || ifExists !== "refuse" || isBoundToPackages(actor);
}

/** `from` is the channel reference from before the transaction. */
type Ready = { readonly staged: StagedFile; readonly read: ReadFile; readonly from: ChannelRef };
type Stored =
  | {
      readonly kind: "new";
      readonly revision: number | null;
      readonly at: number | null;
      readonly channelCreated: boolean;
    }
  | { readonly kind: "skipped"; readonly file: SkippedFile };

function checkedOnly(ref: ChannelRef): Stored {
  return { kind: "new", at: null, revision: null, channelCreated: isNewChannel(ref) };
}

/** The unnamed channel exists even without a row. */
function isNewChannel({ channel, name }: ChannelRef): boolean {
  return channel === undefined && name !== "";
}

function candidateOf({ file }: ReadFile): Candidate {
  return { ...file, sha256: file.blob.sha256 };
}

async function store(parts: PublishingParts, submission: AnySubmission, ready: Ready): Promise<Stored> {
  const { staged, read, from } = ready;
  try {
    await allOf(
      staged.promote(blobKey(staged.sha256)),
      ...(read.fileList ? [parts.blobs.putDerived(fileListKey(staged.sha256), read.fileList)] : []),
    );
    let mustLook = false;
    const work = async (tx: Transaction): Promise<Stored> => {
      const [outcome, mayBeGone] = await allOf(
        commit(parts, submission, ready, tx),
        lookForDeletion(tx, staged.sha256),
      );
      mustLook = mayBeGone && outcome.kind === "new";
      if (mustLook) await forgetDeletion(tx, staged.sha256);
      return outcome;
    };
    const stored = await parts.database.transact(work, {
      channels: from.channel && [from.channel.id],
      confirm: async () => void (mustLook && (await restoreMissing(parts.blobs, staged, read.fileList))),
    });
    if (stored.kind === "skipped") await deleteUnknownBlob(parts, staged.sha256).catch(() => undefined);
    return stored;
  } catch (error) {
    // Garbage collection deletes blobs that remain here; a busy database is not waited for twice.
    const isBusy = error instanceof AppError && error.code === "unavailable";
    if (!isBusy) await deleteUnknownBlob(parts, staged.sha256).catch(() => undefined);
    throw error;
  }
}

/** In a transaction: a publish of the same bytes has either committed, or finds the note and restores the blob. */
async function deleteUnknownBlob({ database, blobs, clock }: PublishingParts, sha256: string): Promise<void> {
  if ((await knownBlobs(database.read, [sha256])).has(sha256)) return;
  await database.transact((tx) => noteDeletions(tx, [sha256], clock.now()));
  await database.transact(async (tx) => {
    await lockBlob(tx, sha256);
    if ((await knownBlobs(tx, [sha256])).has(sha256)) return;
    await blobs.delete(blobKey(sha256));
    await blobs.delete(fileListKey(sha256));
  });
}

/** Whether a collector may have deleted the files since they were stored; until the commit it does not. */
async function lookForDeletion(tx: Transaction, sha256: string): Promise<boolean> {
  await lockBlob(tx, sha256);
  return await mayBeDeleted(tx, sha256);
}

async function commit(
  parts: PublishingParts,
  submission: AnySubmission,
  { read, from }: Ready,
  tx: Transaction,
): Promise<Stored> {
  const { actor } = submission;
  const ref = await parts.access.require(actor, "publish", targetOf(submission, read.file), tx);
  if (ref.channel && ref.channel.id !== from.channel?.id) await lockChannel(tx, ref.channel.id);
  const file = await existingInstead(tx, submission.ifExists, ref.channel, candidateOf(read));
  if (file) return { kind: "skipped", file };
  const channel: ChannelRow = await parts.channels.ensure(tx, ref, actor);
  const change = await parts.packages.addFile(tx, { owner: ref.owner, channel }, read.file, actor);
  return { kind: "new", ...change, channelCreated: isNewChannel(ref) };
}

/** Restores files that were collected since the promotion. */
async function restoreMissing(blobs: BlobStore, staged: StagedFile, fileList: Uint8Array | undefined): Promise<void> {
  const [key, listKey] = [blobKey(staged.sha256), fileListKey(staged.sha256)];
  const [info, list] = await Promise.all([blobs.stat(key), fileList && blobs.stat(listKey)]);
  if (info?.size !== staged.size) await staged.promote(key);
  if (!fileList) return;
  if (list?.size !== fileList.byteLength) await blobs.putDerived(listKey, fileList);
}
