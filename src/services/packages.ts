// Changes of a channel's contents: add a file, remove it, change its state. Each change is one revision.

import { conflict, invalid, notFound, type AppError } from "../errors.ts";
import { deleteFiles } from "../models/channel-contents.ts";
import { bumpRevision, type ChannelRow } from "../models/channel.ts";
import type { Reader, Transaction } from "../models/database.ts";
import { recordFileName } from "../models/file-name-history.ts";
import { touchIndexPart } from "../models/index-part.ts";
import { filesOfName } from "../models/name-files.ts";
import { ensureBlob } from "../models/package-blob.ts";
import {
  findFile,
  insertFile,
  setFileState,
  UNWEIGHED_BYTES,
  weightOfFile,
  type FileState,
  type PackageFileWithBlob,
} from "../models/package-file.ts";
import { insertProperties, type Property } from "../models/package-property.ts";
import { ensureVersion } from "../models/package-version.ts";
import { allOf } from "../modules/all-of.ts";
import type { Clock } from "../modules/clock.ts";
import { randomHex } from "../modules/ids.ts";
import { NAME_BYTES } from "../modules/stored-budget.ts";
import { tokenOf, userOf, type Actor } from "./actor.ts";
import { recordAudit, type AuditAction } from "./audit.ts";
import type { StoredChannel } from "./channel-ref.ts";
import { duplicateError, findExisting, type IfExists } from "./existing-file.ts";
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
   * name would be too large. A publish that skips an existing file learns of one in its transaction.
   */
  checkFile(reader: Reader, channel: ChannelRow | undefined, file: NewFile, ifExists: IfExists): Promise<void>;
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
    checkFile: async (reader, channel, file, ifExists) => {
      await refuseQuarantinedBytes(reader, channel, file.blob.sha256);
      if (!channel) return;
      const [before] = await allOf(
        weights.peek(reader, nameKeyOf(channel, file)),
        ifExists === "refuse" ? refuseDuplicate(reader, channel, file) : Promise.resolve(),
      );
      refuseOverweight(file, before, NAME_BYTES);
    },
    addFile: async (tx, to, file, actor) => {
      const { channel } = to;
      const [before] = await allOf(weights.of(tx, nameKeyOf(channel, file)), refuseDuplicate(tx, channel, file));
      refuseOverweight(file, before, NAME_BYTES);
      const at = parts.clock.now();
      const { packageName, section, fileName } = file;
      const detail = { sha256: file.blob.sha256, size: file.blob.size };
      const change = {
        action: "publish" as const,
        section,
        packageName,
        files: [{ fileName, detail }],
        bytes: before + weightOf(file),
      };
      const [recorded] = await allOf(recordChange(tx, to, change, actor, at), insert(tx, { channel, file, at }, actor));
      return recorded;
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
    if (change.bytes !== undefined) weights.keep(nameKey, { revision, identity }, change.bytes);
    const events = change.files.map(({ fileName, detail }) => {
      const subject = `${change.section}/${fileName}`;
      return { at, action: change.action, owner, channel, subject, detail: { ...detail, revision } };
    });
    await allOf(touchIndexPart(tx, { ...nameKey, revision }), recordAudit(tx, actor, ...events));
    return { revision, at };
  };
}

type Insertion = {
  readonly channel: ChannelRow;
  readonly file: NewFile;
  readonly at: number;
};

async function insert(tx: Transaction, { channel, file, at }: Insertion, actor: Actor): Promise<void> {
  const { packageName, section, fileName, record, metadata } = file;
  const [versionId, blob] = await allOf(
    ensureVersion(tx, { channelId: channel.id, name: packageName, version: file.version }, at),
    ensureBlob(tx, { ...file.blob, created: at }),
    recordFileName(tx, { channelId: channel.id, section, fileName, sha256: file.blob.sha256 }, at),
  );
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
  await allOf(
    insertProperties(tx, { refType: "file", refId: row.id }, file.properties),
    // After the insertion, which waits for a quarantine of the same content that is about to commit.
    refuseQuarantinedBytes(tx, channel, file.blob.sha256),
  );
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
    await deleteFiles(tx, files, at);
    const deleted = files.map(({ fileName, blob }) => ({ fileName, detail: { sha256: blob.sha256 } }));
    return await recordChange(tx, change, { ...change, action: "delete", files: deleted }, actor, at);
  };
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
