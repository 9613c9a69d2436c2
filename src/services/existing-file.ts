// A publish of a file that exists: what the request wants then, the answer for a skipped one, and the errors.

import { conflict, preconditionFailed, type AppError } from "../errors.ts";
import { latestRevision, revisionAt, type ChannelRow } from "../models/channel.ts";
import type { Reader } from "../models/database.ts";
import { findFileFolded, type PackageFileWithBlob } from "../models/package-file.ts";
import { quarantinedError } from "./file-quarantine.ts";

/** What a publish does when the file exists: fail with 409, return the stored file, or fail with 412. */
export type IfExists = "refuse" | "skip" | "require-absent";

/** The name of a file in a channel; `sha256` and `changedBy` are those of the uploaded file, once it was read. */
export type Candidate = {
  readonly section: string;
  readonly fileName: string;
  readonly sha256?: string | undefined;
  /** What gives a changed file another name, for messages: `build number or version`. */
  readonly changedBy?: string | undefined;
};

/** The stored file that a publish has left unchanged. */
export type SkippedFile = {
  readonly packageName: string;
  readonly section: string;
  readonly fileName: string;
  readonly metadata: string;
  readonly blob: { readonly sha256: string; readonly md5: string; readonly size: number };
  /** ms UTC */
  readonly publishedAt: number;
  /** A revision of the channel that has the file. */
  readonly revision: number;
  /** Whether the uploaded bytes equal the stored ones. */
  readonly identical: boolean;
};

/** File names are unique ignoring case. */
export async function findExisting(
  reader: Reader,
  channel: ChannelRow | undefined,
  { section, fileName }: Pick<Candidate, "section" | "fileName">,
): Promise<PackageFileWithBlob | undefined> {
  return channel && (await findFileFolded(reader, { channelId: channel.id, section, fileName }));
}

/** The stored file instead of the uploaded one, if the request wants that. Errors: `precondition-failed`. */
export async function existingInstead(
  reader: Reader,
  ifExists: IfExists,
  channel: ChannelRow | undefined,
  candidate: Candidate,
): Promise<SkippedFile | undefined> {
  if (!channel || ifExists === "refuse") return undefined;
  const existing = await findExisting(reader, channel, candidate);
  if (!existing) return undefined;
  if (ifExists === "require-absent") throw presentError(existing, candidate);
  // Not a conflict, which clients that skip existing files take as a success.
  if (existing.state === "quarantined")
    throw quarantinedError(existing, "cannot be replaced or published again", "unprocessable");
  const { packageName, section, fileName, metadata, blob, publishedAt } = existing;
  // Read after the file, which can be newer than the row of the channel.
  const newest = (await latestRevision(reader, channel.id))?.revision ?? channel.revision;
  const revision = await revisionAt(reader, channel.id, newest, publishedAt);
  const identical = blob.sha256 === candidate.sha256;
  return { packageName, section, fileName, metadata, blob, publishedAt, revision, identical };
}

/** The error of `If-None-Match: *`. */
function presentError(existing: PackageFileWithBlob, candidate: Candidate): AppError {
  const name = `${existing.section}/${existing.fileName}`;
  const message = `${name} already exists, and the request has If-None-Match: *. Nothing was changed.`;
  return preconditionFailed(message, { members: membersOf(existing, candidate) });
}

/** The error of a publish that says nothing about existing files. */
export function duplicateError(existing: PackageFileWithBlob, candidate: Candidate): AppError {
  if (existing.state === "quarantined") return quarantinedError(existing, "cannot be replaced or published again");
  const { sha256, changedBy = "version" } = candidate;
  const name = `${existing.section}/${existing.fileName}`;
  const message =
    existing.blob.sha256 === sha256
      ? `${name} already exists with identical bytes: nothing needs to be done. With ?skip_existing=true behind the ` +
        "URL, the server answers 200 instead."
      : `${name} already exists with different bytes, and a published file is never overwritten. Publish yours with ` +
        `another ${changedBy}, or delete the stored file first.`;
  return conflict(message, { members: membersOf(existing, candidate) });
}

function membersOf({ fileName, blob }: PackageFileWithBlob, { sha256 }: Candidate): Readonly<Record<string, unknown>> {
  const identical = sha256 === undefined ? {} : { identical: blob.sha256 === sha256 };
  return { ...identical, filename: fileName, sha256: blob.sha256 };
}
