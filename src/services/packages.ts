// Changes of a channel's contents: add a file, remove it, change its state. Each change is one revision.

import { conflict, invalid, notFound, type AppError } from "../errors.ts";
import { bumpRevision, type ChannelRow } from "../models/channel.ts";
import type { Reader, Transaction } from "../models/database.ts";
import { recordFileDeletion, recordFileName } from "../models/file-name-history.ts";
import { touchIndexPart } from "../models/index-part.ts";
import { filesOfName } from "../models/name-files.ts";
import { ensureBlob, noteUnreferenced } from "../models/package-blob.ts";
import {
  deleteFile,
  findFile,
  insertFile,
  setFileState,
  UNWEIGHED_BYTES,
  weightOfFile,
  type FileState,
  type PackageFileWithBlob,
} from "../models/package-file.ts";
import { deleteProperties, insertProperties, type Property } from "../models/package-property.ts";
import { deleteVersionIfEmpty, ensurePackageVersion } from "../models/package-version.ts";
import { deletePackageIfEmpty, ensurePackage } from "../models/package.ts";
import type { Clock } from "../modules/clock.ts";
import { randomHex } from "../modules/ids.ts";
import { NAME_BYTES } from "../modules/stored-budget.ts";
import { tokenOf, userOf, type Actor } from "./actor.ts";
import { recordAudit, type AuditAction } from "./audit.ts";
import type { StoredChannel } from "./channel-ref.ts";
import { duplicateError, findExisting } from "./existing-file.ts";
import { refuseQuarantined, refuseQuarantinedBytes } from "./file-quarantine.ts";
import { createNameWeights, type NameKey, type NameWeights } from "./name-weights.ts";

export type NewFile = {
  readonly packageName: string;
  readonly version: string;
  readonly section: string;
  readonly fileName: string;
  readonly record: string;
  /** JSON text. */
  readonly metadata: string;
  readonly properties: readonly Property[];
  /** Bytes in the document of its name, equal to `weight` in the metadata; default: an upper bound. */
  readonly weight?: number | undefined;
  /** What gives a changed file another name, for messages; default: `version`. */
  readonly changedBy?: string | undefined;
  readonly blob: { readonly sha256: string; readonly md5: string; readonly size: number };
};

export type FileRef = StoredChannel & { readonly section: string; readonly fileName: string };
export type Change = { readonly revision: number; readonly at: number };

export type Packages = {
  /**
   * Checks before a commit that `addFile()` would accept the file; without a channel, in a new one. Errors: `conflict`,
   * with whether the bytes are the same; `unprocessable` when these are quarantined; `invalid` when the document of its
   * name would be too large.
   */
  checkFile(reader: Reader, channel: ChannelRow | undefined, file: NewFile): Promise<void>;
  /** Creates the package and version if missing. Errors: those of `checkFile()`. */
  addFile(tx: Transaction, to: StoredChannel, file: NewFile, actor: Actor): Promise<Change>;
  /** Errors: `not-found`, `conflict` for a quarantined file. */
  removeFile(tx: Transaction, fileRef: FileRef, actor: Actor): Promise<Change>;
  /** Removes all files of a name in a section as one change. Errors: `not-found`, `invalid` for too many files, `conflict` for a quarantined one. */
  removeName(
    tx: Transaction,
    name: StoredChannel & { readonly section: string; readonly packageName: string },
    actor: Actor,
  ): Promise<Change>;
  /**
   * Yanks a file or takes that back; `reason` is audited. Errors: `not-found`, `conflict` for the same state, or while the
   * file is quarantined.
   */
  setState(
    tx: Transaction,
    fileRef: FileRef,
    state: Exclude<FileState, "quarantined">,
    actor: Actor,
    reason: string,
  ): Promise<Change>;
};

export type PackagesParts = { readonly clock: Clock };

/** Limit of one change: other writers wait until the complete change has committed. */
const MAX_FILES = 10_000;

export function createPackages(parts: PackagesParts): Packages {
  const weights = createNameWeights();
  const recordChange = createRecorder(weights);
  const remove = createRemover(parts, recordChange);
  return {
    checkFile: async (reader, channel, file) => {
      await refuseQuarantinedBytes(reader, channel, file.blob.sha256);
      if (!channel) return;
      await refuseDuplicate(reader, channel, file);
      const nameKey = nameKeyOf(channel, file);
      refuseOverweight(file, await weights.peek(reader, nameKey), NAME_BYTES);
    },
    addFile: async (tx, to, file, actor) => {
      const { channel } = to;
      await refuseDuplicate(tx, channel, file);
      const before = await weights.of(tx, nameKeyOf(channel, file));
      refuseOverweight(file, before, NAME_BYTES);
      const at = parts.clock.now();
      const pkg = await ensurePackage(tx, { channelId: channel.id, name: file.packageName, created: at });
      const version = await ensurePackageVersion(tx, { packageId: pkg.id, version: file.version, created: at });
      await insert(tx, { channel, versionId: version.id, file, at }, actor);
      const { packageName, section, fileName } = file;
      const detail = { sha256: file.blob.sha256, size: file.blob.size };
      const change = {
        action: "publish" as const,
        section,
        packageName,
        files: [{ fileName, detail }],
        bytes: before + weightOf(file),
      };
      return await recordChange(tx, to, change, actor, at);
    },
    removeFile: async (tx, fileRef, actor) => {
      const file = await requireFile(tx, fileRef);
      const { packageName } = file;
      const { owner, channel, section } = fileRef;
      const before = await weights.known(tx, nameKeyOf(channel, file));
      const bytes = before === undefined ? undefined : before - (await weightOfFile(tx, file.id));
      return await remove(tx, { owner, channel, section, packageName, bytes }, [file], actor);
    },
    removeName: async (tx, { owner, channel, section, packageName }, actor) => {
      const nameKey = nameKeyOf(channel, { section, packageName });
      const files = await filesOfName(tx, nameKey, MAX_FILES + 1);
      if (files.length === 0) throw notFound(`There is no ${section} in this channel.`);
      if (files.length > MAX_FILES) throw tooMany(section);
      return await remove(tx, { owner, channel, section, packageName, bytes: 0 }, files, actor);
    },
    setState: async (tx, fileRef, state, actor, reason) => {
      const file = await requireFile(tx, fileRef);
      refuseQuarantined([file], "its state cannot be changed");
      if (file.state === state) throw conflict(`${fileRef.fileName} is already ${state}.`);
      await setFileState(tx, file.id, state);
      const { channel, section, fileName } = fileRef;
      const action: AuditAction = state === "yanked" ? "yank" : "unyank";
      const files = [{ fileName, detail: { reason } }];
      const bytes = await weights.known(tx, nameKeyOf(channel, file));
      const change = { action, section, packageName: file.packageName, files, bytes };
      return await recordChange(tx, fileRef, change, actor, parts.clock.now());
    },
  };
}

/** A change of one name, with the audit detail of each file. */
type ChangedName = {
  readonly action: AuditAction;
  readonly section: string;
  readonly packageName: string;
  readonly files: readonly { readonly fileName: string; readonly detail: Readonly<Record<string, unknown>> }[];
  /** Bytes of all files of the name after the change; undefined when they are not known. */
  readonly bytes: number | undefined;
};

function createRecorder(weights: NameWeights) {
  return async (
    tx: Transaction,
    { owner, channel }: StoredChannel,
    change: ChangedName,
    actor: Actor,
    at: number,
  ): Promise<Change> => {
    const nameKey = nameKeyOf(channel, change);
    const identity = randomHex(16);
    const revision = await bumpRevision(tx, {
      channelId: channel.id,
      identity,
      at,
      actorId: userOf(actor)?.id ?? null,
    });
    await touchIndexPart(tx, { ...nameKey, revision });
    if (change.bytes !== undefined) weights.keep(nameKey, { revision, identity }, change.bytes);
    for (const { fileName, detail } of change.files) {
      const subject = `${change.section}/${fileName}`;
      await recordAudit(tx, actor, {
        at,
        action: change.action,
        owner,
        channel,
        subject,
        detail: { ...detail, revision },
      });
    }
    return { revision, at };
  };
}

type Insertion = {
  readonly channel: ChannelRow;
  readonly versionId: number;
  readonly file: NewFile;
  readonly at: number;
};

async function insert(tx: Transaction, { channel, versionId, file, at }: Insertion, actor: Actor): Promise<void> {
  const blob = await ensureBlob(tx, { ...file.blob, created: at });
  const { packageName, section, fileName, record, metadata } = file;
  const row = await insertFile(tx, {
    versionId,
    channelId: channel.id,
    blobId: blob.id,
    section,
    fileName,
    packageName,
    record,
    metadata,
    publisherId: userOf(actor)?.id ?? null,
    publishedBy: publisherOf(actor),
    publishedAt: at,
  });
  // After the insertion, which waits for a quarantine of the same content that is about to commit.
  await refuseQuarantinedBytes(tx, channel, file.blob.sha256);
  await insertProperties(tx, { refType: "file", refId: row.id }, file.properties);
  await recordFileName(tx, { channelId: channel.id, section, fileName, sha256: file.blob.sha256 }, at);
}

type Recorder = ReturnType<typeof createRecorder>;

/** Removes files of one name as one change. */
function createRemover({ clock }: PackagesParts, recordChange: Recorder) {
  return async (
    tx: Transaction,
    change: Omit<ChangedName, "action" | "files"> & StoredChannel,
    files: readonly PackageFileWithBlob[],
    actor: Actor,
  ): Promise<Change> => {
    refuseQuarantined(files, "cannot be deleted");
    const at = clock.now();
    for (const file of files) await deleteOne(tx, file, at);
    const deleted = files.map(({ fileName, blob }) => ({ fileName, detail: { sha256: blob.sha256 } }));
    return await recordChange(tx, change, { ...change, action: "delete", files: deleted }, actor, at);
  };
}

async function deleteOne(tx: Transaction, file: PackageFileWithBlob, at: number): Promise<void> {
  const { channelId, section, fileName } = file;
  await deleteProperties(tx, { refType: "file", refId: file.id });
  await deleteFile(tx, file.id);
  await noteUnreferenced(tx, file.blobId, at);
  const packageId = await deleteVersionIfEmpty(tx, file.versionId);
  if (packageId !== undefined) await deletePackageIfEmpty(tx, packageId);
  await recordFileDeletion(tx, { channelId, section, fileName, sha256: file.blob.sha256 }, at);
}

function tooMany(section: string): AppError {
  const message = `${section} has more than ${MAX_FILES} files, the limit of one change. Delete some one by one.`;
  return invalid(message, { members: { limit: MAX_FILES } });
}

function nameKeyOf(channel: ChannelRow, file: Pick<NewFile, "section" | "packageName">): NameKey {
  return { channelId: channel.id, section: file.section, name: file.packageName };
}

function refuseOverweight(file: NewFile, bytes: number, limit: number): void {
  const weight = weightOf(file);
  if (bytes + weight <= limit) return;
  const { packageName, section } = file;
  const what = `The records of ${packageName} in ${section} have ${bytes} bytes, and this file adds ${weight}`;
  const fix = "Delete unused files, or publish to another channel.";
  throw invalid(`${what}; the limit per package name is ${limit} bytes. ${fix}`, { members: { limit } });
}

/** Without `weight`: the same bound as in the query of `weightOfFile()`. */
function weightOf({ weight, record, metadata }: NewFile): number {
  return weight ?? Buffer.byteLength(record) + Buffer.byteLength(metadata) + UNWEIGHED_BYTES;
}

async function refuseDuplicate(reader: Reader, channel: ChannelRow, file: NewFile): Promise<void> {
  const existing = await findExisting(reader, channel, file);
  if (existing) throw duplicateError(existing, { ...file, sha256: file.blob.sha256 });
}

async function requireFile(tx: Transaction, fileRef: FileRef): Promise<PackageFileWithBlob> {
  const { section, fileName } = fileRef;
  const file = await findFile(tx, { channelId: fileRef.channel.id, section, fileName });
  if (!file) throw notFound(`There is no ${section}/${fileName} in this channel.`);
  return file;
}

/** The token if there is one, so that the files of a leaked token can be found later. */
function publisherOf(actor: Actor): string | null {
  const [user, token] = [userOf(actor), tokenOf(actor)];
  if (token) return `token:${token.id}`;
  return user ? `user:${user.id}` : null;
}
