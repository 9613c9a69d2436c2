// The changes of a channel's contents, each one revision: add a file, remove it, change its state.

import { conflict, invalid, notFound, type AppError } from "../errors.ts";
import { bumpRevision, type ChannelRow } from "../models/channel.ts";
import type { Reader, Transaction } from "../models/database.ts";
import { recordFileDeletion, recordFileName } from "../models/file-name-history.ts";
import { touchIndexPart } from "../models/index-part.ts";
import { filesOfName } from "../models/name-files.ts";
import { ownerWithId } from "../models/owner.ts";
import { ensureBlob, noteUnreferenced } from "../models/package-blob.ts";
import {
  deleteFile,
  findFile,
  findFileFolded,
  insertFile,
  setFileState,
  UNTOLD_BYTES,
  weightOfFile,
  weightOfName,
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
  /** Bytes in the document of its name, the same as `weight` of the metadata; without it, a bound is taken. */
  readonly weight?: number | undefined;
  readonly blob: { readonly sha256: string; readonly md5: string; readonly size: number };
};

export type FileRef = { readonly channel: ChannelRow; readonly section: string; readonly fileName: string };
export type Change = { readonly revision: number; readonly at: number };

export type Packages = {
  /**
   * Whether `addFile()` would take the file, as far as can be told before. Errors: `conflict`, saying whether the bytes
   * are the same; `invalid` when the document of its name would be too large.
   */
  checkFile(reader: Reader, channel: ChannelRow, file: NewFile): Promise<void>;
  /** Makes the package and version as needed. Errors: as of `checkFile()`. */
  addFile(tx: Transaction, channel: ChannelRow, file: NewFile, actor: Actor): Promise<Change>;
  /** Errors: `not-found`. */
  removeFile(tx: Transaction, nameKey: FileRef, actor: Actor): Promise<Change>;
  /** All files that a name has in a section, as one change. Errors: `not-found`, `invalid` when there are too many. */
  removeName(
    tx: Transaction,
    nameKey: { readonly channel: ChannelRow; readonly section: string; readonly packageName: string },
    actor: Actor,
  ): Promise<Change>;
  /** Yank, quarantine, or back; `reason` goes to the audit trail. Errors: `not-found`, `conflict` when it is so already. */
  setState(tx: Transaction, nameKey: FileRef, state: FileState, actor: Actor, reason: string): Promise<Change>;
};

export type PackagesParts = { readonly clock: Clock };

/** Whoever waits for the database waits for all of one change. */
const MOST_FILES = 10_000;

export function createPackages(parts: PackagesParts): Packages {
  const weights = createNameWeights();
  const recordChange = createRecorder(weights);
  const remove = createRemover(parts, recordChange);
  return {
    checkFile: async (reader, channel, file) => {
      await refuseDuplicate(reader, channel, file);
      const nameKey = nameOf(channel, file);
      refuseHeavy(file, (await weights.known(reader, nameKey)) ?? (await weightOfName(reader, nameKey)), NAME_BYTES);
    },
    addFile: async (tx, channel, file, actor) => {
      await refuseDuplicate(tx, channel, file);
      refuseHeavy(file, await weights.of(tx, nameOf(channel, file)), NAME_BYTES);
      const at = parts.clock.now();
      const owner = await ensurePackage(tx, { channelId: channel.id, name: file.packageName, created: at });
      const version = await ensurePackageVersion(tx, { packageId: owner.id, version: file.version, created: at });
      await insert(tx, { channel, versionId: version.id, file, at }, actor);
      const { packageName, section, fileName } = file;
      const detail = { sha256: file.blob.sha256, size: file.blob.size };
      const what = {
        action: "publish" as const,
        section,
        packageName,
        files: [{ fileName, detail }],
        grown: weightOf(file),
      };
      return await recordChange(tx, channel, what, actor, at);
    },
    removeFile: async (tx, nameKey, actor) => {
      const file = await requireFile(tx, nameKey);
      const { packageName } = file;
      const { channel, section } = nameKey;
      const grown = -(await weightOfFile(tx, file.id));
      return await remove(tx, { channel, section, packageName, grown }, [file], actor);
    },
    removeName: async (tx, { channel, section, packageName }, actor) => {
      const nameKey = nameOf(channel, { section, packageName });
      const files = await filesOfName(tx, nameKey, MOST_FILES + 1);
      if (files.length === 0) throw notFound(`There is no ${section} in this channel.`);
      if (files.length > MOST_FILES) throw tooMany(section);
      const grown = -(await weightOfName(tx, nameKey));
      return await remove(tx, { channel, section, packageName, grown }, files, actor);
    },
    setState: async (tx, nameKey, state, actor, reason) => {
      const file = await requireFile(tx, nameKey);
      if (file.state === state) throw conflict(`${nameKey.fileName} is ${state} already.`);
      await setFileState(tx, file.id, state);
      const { section, fileName } = nameKey;
      const action = actionTo(state, file.state);
      const files = [{ fileName, detail: { reason } }];
      const what = { action, section, packageName: file.packageName, files, grown: 0 };
      return await recordChange(tx, nameKey.channel, what, actor, parts.clock.now());
    },
  };
}

/** A change of one name, with what the audit trail says of each file. */
type ChangedName = {
  readonly action: AuditAction;
  readonly section: string;
  readonly packageName: string;
  readonly files: readonly { readonly fileName: string; readonly detail: Readonly<Record<string, unknown>> }[];
  /** Bytes by which the document of the name has grown. */
  readonly grown: number;
};

function createRecorder(weights: NameWeights) {
  return async (tx: Transaction, channel: ChannelRow, what: ChangedName, actor: Actor, at: number): Promise<Change> => {
    const nameKey = nameOf(channel, what);
    const identity = randomHex(16);
    const bytes = await weights.known(tx, nameKey);
    const revision = await bumpRevision(tx, {
      channelId: channel.id,
      identity,
      at,
      actorId: userOf(actor)?.id ?? null,
    });
    await touchIndexPart(tx, { ...nameKey, revision });
    if (bytes !== undefined) weights.keep(nameKey, { revision, identity }, bytes + what.grown);
    const owner = await ownerWithId(tx, channel.ownerId);
    for (const { fileName, detail } of what.files) {
      const subject = `${what.section}/${fileName}`;
      await recordAudit(tx, actor, {
        at,
        action: what.action,
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
  await insertProperties(tx, { refType: "file", refId: row.id }, file.properties);
  await recordFileName(tx, { channelId: channel.id, section, fileName, sha256: file.blob.sha256 }, at);
}

type Recorder = ReturnType<typeof createRecorder>;

/** Removes files of one name as one change. */
function createRemover({ clock }: PackagesParts, recordChange: Recorder) {
  return async (
    tx: Transaction,
    what: Omit<ChangedName, "action" | "files"> & { readonly channel: ChannelRow },
    files: readonly PackageFileWithBlob[],
    actor: Actor,
  ): Promise<Change> => {
    const at = clock.now();
    for (const file of files) await deleteOne(tx, file, at);
    const gone = files.map(({ fileName, blob }) => ({ fileName, detail: { sha256: blob.sha256 } }));
    return await recordChange(tx, what.channel, { ...what, action: "delete", files: gone }, actor, at);
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
  const message = `${section} has more than ${MOST_FILES} files, the limit of one change. Delete some of them one by one.`;
  return invalid(message, { members: { limit: MOST_FILES } });
}

function nameOf(channel: ChannelRow, file: Pick<NewFile, "section" | "packageName">): NameKey {
  return { channelId: channel.id, section: file.section, name: file.packageName };
}

function refuseHeavy(file: NewFile, bytes: number, limit: number): void {
  const weight = weightOf(file);
  if (bytes + weight <= limit) return;
  const { packageName, section } = file;
  const what = `The files of ${packageName} in ${section} have ${bytes} bytes of records, and this one ${weight} more`;
  const fix = "Delete files that nobody needs, or publish to another channel.";
  throw invalid(`${what}; the limit of one name is ${limit} bytes. ${fix}`, { members: { limit } });
}

/** As the query counts a file that does not say it. */
function weightOf({ weight, record, metadata }: NewFile): number {
  return weight ?? Buffer.byteLength(record) + Buffer.byteLength(metadata) + UNTOLD_BYTES;
}

async function refuseDuplicate(reader: Reader, channel: ChannelRow, file: NewFile): Promise<void> {
  const nameKey = { channelId: channel.id, section: file.section, fileName: file.fileName };
  const existing = await findFileFolded(reader, nameKey);
  if (!existing) return;
  const identical = existing.blob.sha256 === file.blob.sha256;
  const sameness = identical ? "with identical bytes: nothing needs to be done" : "with other bytes";
  throw conflict(`${file.section}/${existing.fileName} exists already, ${sameness}.`, {
    members: { identical, filename: existing.fileName, sha256: existing.blob.sha256 },
  });
}

async function requireFile(tx: Transaction, nameKey: FileRef): Promise<PackageFileWithBlob> {
  const { section, fileName } = nameKey;
  const file = await findFile(tx, { channelId: nameKey.channel.id, section, fileName });
  if (!file) throw notFound(`There is no ${section}/${fileName} in this channel.`);
  return file;
}

/** The token where there is one, since a token may be what has to be mistrusted later. */
function publisherOf(actor: Actor): string | null {
  const [user, token] = [userOf(actor), tokenOf(actor)];
  if (token) return `token:${token.id}`;
  return user ? `user:${user.id}` : null;
}

/** In the words of a channel's events. */
function actionTo(state: FileState, before: FileState): AuditAction {
  if (state === "yanked") return "yank";
  if (state === "quarantined") return "quarantine";
  return before === "quarantined" ? "release" : "unyank";
}
