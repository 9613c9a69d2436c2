// Publishing: every dialect ends here. Authorise, stage, inspect, authorise again, promote, commit.

import { AppError, conflict, invalidArgument, malformed } from "../../errors.ts";
import type { Events } from "../../events.ts";
import type { ChannelRow } from "../../models/channel.ts";
import type { Database, Transaction } from "../../models/database.ts";
import { findFileFolded } from "../../models/package-file.ts";
import { channelNameProblem } from "../../modules/conda/channel-name.ts";
import { formatOf } from "../../modules/conda/file-name.ts";
import type { Finding } from "../../modules/conda/findings.ts";
import { setRecordSubdir } from "../../modules/conda/record.ts";
import type { BlobStore } from "../../modules/storage/blob-store.ts";
import { blobKey, fileListKey } from "../../modules/storage/keys.ts";
import type { Access } from "../access.ts";
import { userOf, type RequestActor } from "../actor.ts";
import { channelLabel, type ChannelPlace } from "../channel-place.ts";
import { policyOf } from "../channel-policy.ts";
import type { Channels } from "../channels.ts";
import type { Packages } from "../packages.ts";
import type { Incoming, StagedFile, Staging } from "../staging.ts";
import { refusal, type AcceptedPackage, type Inspect } from "./inspect.ts";

export type PublishRequest = {
  readonly actor: RequestActor;
  readonly owner: string;
  readonly channel: string;
  /** The name in the URL. */
  readonly fileName: string;
  /** The subdir in the URL, when the dialect has one: the package must be of it. */
  readonly subdir: string | undefined;
  /** Gitea takes any name with the right extension and stores the rebuilt one; the others want the very name. */
  readonly anyName: boolean;
  readonly incoming: Incoming;
  /** Runs every check and stores nothing. */
  readonly dryRun: boolean;
};

export type Published = {
  readonly channel: string;
  readonly name: string;
  readonly version: string;
  readonly build: string;
  readonly subdir: string;
  readonly filename: string;
  readonly size: number;
  readonly sha256: string;
  readonly md5: string;
  readonly url: string;
  /** ms UTC; null for a dry run, as is `revision`. */
  readonly published_at: number | null;
  readonly revision: number | null;
  readonly findings: readonly Finding[];
};

export type Publish = (request: PublishRequest) => Promise<Published>;

export type PublishParts = {
  readonly database: Database;
  readonly blobs: BlobStore;
  readonly access: Access;
  readonly channels: Channels;
  readonly packages: Packages;
  readonly staging: Staging;
  readonly inspect: Inspect;
  readonly events: Events;
  readonly admit: <T>(account: string, work: () => Promise<T>) => Promise<T>;
  readonly publicUrl: string;
};

/** What the package is, once it is known for certain. */
type Resolved = { readonly accepted: AcceptedPackage; readonly subdir: string; readonly findings: readonly Finding[] };

export function createPublish(parts: PublishParts): Publish {
  return async (request) => {
    const place = await authorise(parts, request);
    const file = `${request.subdir ?? "?"}/${request.fileName}`;
    const channel = channelLabel(request.owner, request.channel);
    const account = userOf(request.actor)?.owner.name ?? "";
    try {
      const published = await parts.admit(account, () => receive(parts, request, place));
      const result = request.dryRun ? "checked" : "created";
      const rules = published.findings.map(({ rule }) => rule);
      parts.events.publishEnded({ channel, file: `${published.subdir}/${published.filename}`, result, rules });
      return published;
    } catch (error) {
      const result = error instanceof AppError && error.code === "conflict" ? "conflict" : "refused";
      parts.events.publishEnded({ channel, file, result, rules: error instanceof AppError ? [error.code] : ["error"] });
      throw error;
    }
  };
}

/** The early refusal, before a byte of the body is read. What the package really is gets checked again later. */
async function authorise(parts: PublishParts, request: PublishRequest): Promise<ChannelPlace> {
  const place = await parts.access.require(request.actor, "publish", targetOf(request));
  const problem = channelNameProblem(place.name);
  if (problem !== undefined) throw invalidArgument(`Invalid channel name: ${problem}.`);
  if (formatOf(request.fileName) === undefined) {
    throw malformed("The file name must end in .conda or .tar.bz2.");
  }
  return place;
}

function targetOf({ owner, channel }: PublishRequest, accepted?: AcceptedPackage) {
  return { kind: "channel", owner, channel, packageName: accepted?.identity.name } as const;
}

async function receive(parts: PublishParts, request: PublishRequest, place: ChannelPlace): Promise<Published> {
  const staged = await parts.staging.receive(request.incoming);
  try {
    const resolved = resolve(request, place, await parts.inspect(staged, request.fileName));
    await parts.access.require(request.actor, "publish", targetOf(request, resolved.accepted), parts.database.read);
    if (request.dryRun) return await dryRun(parts, request, place, staged, resolved);
    await staged.durable();
    await both(
      staged.promote(blobKey(staged.sha256)),
      parts.blobs.putDerived(fileListKey(staged.sha256), resolved.accepted.fileList),
    );
    return await parts.database.transact((tx) => commit(parts, request, { tx, staged, resolved }));
  } finally {
    await staged.discard();
  }
}

/** Two durable steps side by side; neither is still under way when this ends, whatever the other did. */
async function both(...steps: readonly Promise<void>[]): Promise<void> {
  const outcomes = await Promise.allSettled(steps);
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}

/** Settles what the request and the channel's policy say of the package. */
function resolve(request: PublishRequest, place: ChannelPlace, accepted: AcceptedPackage): Resolved {
  const { identity } = accepted;
  const findings = [...accepted.findings];
  const subdir = identity.subdir ?? request.subdir;
  if (subdir === undefined) {
    throw refusal([
      finding(
        "subdir-missing",
        "info/index.json",
        "The package does not say its subdir.",
        "Add `subdir`, or publish to a URL that has it.",
      ),
    ]);
  }
  if (request.subdir !== undefined && request.subdir !== subdir) {
    throw refusal([
      finding(
        "subdir-mismatch",
        request.subdir,
        `The package is for ${subdir}.`,
        `Publish it to …/${subdir}/${identity.fileName}.`,
      ),
    ]);
  }
  if (request.fileName !== identity.fileName) {
    const fix = `Name the file ${identity.fileName}.`;
    const said = finding("file-name-mismatch", request.fileName, `By its metadata this is ${identity.fileName}.`, fix);
    if (!request.anyName) throw refusal([said]);
    findings.push({ ...said, level: "warning" });
  }
  if (policyOf(place.channel).validation === "strict" && findings.length > 0) throw refusal(findings);
  return { accepted, subdir, findings };
}

type Ready = { readonly tx: Transaction; readonly staged: StagedFile; readonly resolved: Resolved };

async function commit(parts: PublishParts, request: PublishRequest, ready: Ready): Promise<Published> {
  const { tx, staged, resolved } = ready;
  const { accepted, subdir } = resolved;
  const { actor } = request;
  const place = await parts.access.require(actor, "publish", targetOf(request, accepted), tx);
  const channel = await parts.channels.ensure(tx, place, actor);
  await putBack(parts.blobs, staged);
  const change = await parts.packages.addFile(tx, channel, newFile(staged, resolved), actor);
  return answer(parts, request, channel, staged, resolved, { revision: change.revision, at: change.at, subdir });
}

/** A blob that was collected or damaged between the promotion and this moment is put in place again. */
async function putBack(blobs: BlobStore, staged: StagedFile): Promise<void> {
  const key = blobKey(staged.sha256);
  const info = await blobs.stat(key);
  if (info?.size !== staged.size) await staged.promote(key);
}

function newFile(staged: StagedFile, { accepted, subdir, findings }: Resolved) {
  const { identity, metadata, record } = accepted;
  return {
    packageName: identity.name,
    version: identity.version,
    section: subdir,
    fileName: identity.fileName,
    record: identity.subdir === undefined ? setRecordSubdir(record, subdir) : record,
    metadata: JSON.stringify({ ...metadata, findings }),
    properties: [{ name: "conda.build", value: identity.build }],
    blob: { sha256: staged.sha256, md5: staged.md5, size: staged.size },
  };
}

async function dryRun(
  parts: PublishParts,
  request: PublishRequest,
  place: ChannelPlace,
  staged: StagedFile,
  resolved: Resolved,
): Promise<Published> {
  const { fileName } = resolved.accepted.identity;
  const existing =
    place.channel &&
    (await findFileFolded(parts.database.read, { channelId: place.channel.id, section: resolved.subdir, fileName }));
  if (existing) {
    const identical = existing.blob.sha256 === staged.sha256;
    throw conflict(`${resolved.subdir}/${fileName} exists already.`, { members: { identical, filename: fileName } });
  }
  return answer(parts, request, place, staged, resolved, { revision: null, at: null, subdir: resolved.subdir });
}

function answer(
  parts: PublishParts,
  request: PublishRequest,
  place: Pick<ChannelRow, "name">,
  staged: StagedFile,
  resolved: Resolved,
  change: { readonly revision: number | null; readonly at: number | null; readonly subdir: string },
): Published {
  const { identity } = resolved.accepted;
  const { subdir } = change;
  const path = [
    request.owner.toLowerCase(),
    ...(place.name === "" ? [] : place.name.split("/")),
    subdir,
    identity.fileName,
  ];
  return {
    channel: channelLabel(request.owner.toLowerCase(), place.name),
    name: identity.name,
    version: identity.version,
    build: identity.build,
    subdir,
    filename: identity.fileName,
    size: staged.size,
    sha256: staged.sha256,
    md5: staged.md5,
    url: `${parts.publicUrl}/${path.map(encodeURIComponent).join("/")}`,
    published_at: change.at,
    revision: change.revision,
    findings: resolved.findings,
  };
}

function finding(rule: string, path: string, message: string, fix: string): Finding {
  return { rule, level: "refused", path, message, fix };
}
