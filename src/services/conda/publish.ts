// Publishing: every dialect ends here. Authorise, stage, inspect, authorise again, promote, commit.

import { AppError, conflict, forbidden, malformed, unauthenticated } from "../../errors.ts";
import type { Events } from "../../events.ts";
import type { ChannelRow } from "../../models/channel.ts";
import type { Database, Reader, Transaction } from "../../models/database.ts";
import { findFileFolded } from "../../models/package-file.ts";
import { channelNameProblem } from "../../modules/conda/channel-name.ts";
import { formatOf } from "../../modules/conda/file-name.ts";
import type { Finding } from "../../modules/conda/findings.ts";
import { setRecordSubdir } from "../../modules/conda/record.ts";
import type { BlobStore } from "../../modules/storage/blob-store.ts";
import { blobKey, fileListKey } from "../../modules/storage/keys.ts";
import { channelLabel, type Access, type ChannelAction } from "../access.ts";
import { isThere, policyOf, type ChannelPlace, type Channels } from "../channels.ts";
import type { Identities } from "../identities.ts";
import type { Actor, Packages } from "../packages.ts";
import type { Incoming, StagedFile, Staging } from "../staging.ts";
import { refusal, type AcceptedPackage, type Inspect } from "./inspect.ts";

export type PublishRequest = {
  readonly actor: Actor;
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
  readonly identities: Identities;
  readonly channels: Channels;
  readonly packages: Packages;
  readonly staging: Staging;
  readonly inspect: Inspect;
  readonly events: Events;
  readonly admit: <T>(account: string, work: () => Promise<T>) => Promise<T>;
  readonly publicUrl: string;
  readonly createChannels: boolean;
};

/** What the package is, once it is known for certain. */
type Resolved = { readonly accepted: AcceptedPackage; readonly subdir: string; readonly findings: readonly Finding[] };

export function createPublish(parts: PublishParts): Publish {
  return async (request) => {
    const place = await authorise(parts, request);
    const file = `${request.subdir ?? "?"}/${request.fileName}`;
    const channel = channelLabel(request.owner, request.channel);
    const account = request.actor.identity.kind === "anonymous" ? "" : request.actor.identity.user.owner.name;
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
  const { identity } = request.actor;
  if (identity.kind === "anonymous") throw unauthenticated("Sign in to publish.");
  const place = await parts.channels.find(parts.database.read, request.owner, request.channel);
  if (!place) throw forbidden("There is no such owner, or you may not publish there.");
  await requireRights(parts, request, place, parts.database.read);
  const problem = channelNameProblem(place.name);
  if (problem !== undefined) throw malformed(`The channel cannot be named so: ${problem}.`);
  if (formatOf(request.fileName) === undefined) {
    throw malformed("The file name must end in .conda or .tar.bz2.");
  }
  return place;
}

async function requireRights(
  parts: PublishParts,
  request: PublishRequest,
  place: ChannelPlace,
  reader: Reader,
  packageName?: string,
): Promise<void> {
  const isNew = !isThere(place);
  if (isNew && !parts.createChannels) {
    throw forbidden(
      `There is no channel ${channelLabel(place.owner.name, place.name)}, and publishing does not make one here.`,
    );
  }
  const actions: ChannelAction[] = isNew ? ["create", "publish"] : ["publish"];
  for (const action of actions) {
    const target = { kind: "channel", ...place, ...(packageName === undefined ? {} : { packageName }) } as const;
    const decision = await parts.access.may(request.actor.identity, action, target, reader);
    if (decision.allowed) continue;
    const known = await parts.access.mayKnow(request.actor.identity, place.owner, place.channel);
    throw forbidden(known ? decision.why : "There is no such owner, or you may not publish there.");
  }
}

async function receive(parts: PublishParts, request: PublishRequest, place: ChannelPlace): Promise<Published> {
  const staged = await parts.staging.receive(request.incoming);
  try {
    const resolved = resolve(request, place, await parts.inspect(staged, request.fileName));
    await requireRights(parts, request, place, parts.database.read, resolved.accepted.identity.name);
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
  const actor = { ...request.actor, identity: await parts.identities.refresh(tx, request.actor.identity) };
  const place = await parts.channels.find(tx, request.owner, request.channel);
  if (!place) throw forbidden("The owner has been removed meanwhile.");
  await requireRights(parts, { ...request, actor }, place, tx, accepted.identity.name);
  const channel = await parts.channels.ensure(tx, place);
  await putBack(parts.blobs, staged, accepted.fileList);
  const change = await parts.packages.addFile(tx, channel, newFile(staged, resolved), actor);
  return answer(parts, request, channel, staged, resolved, { revision: change.revision, at: change.at, subdir });
}

/** What was collected or damaged between the promotion and this moment is put in place again. */
async function putBack(blobs: BlobStore, staged: StagedFile, fileList: Uint8Array): Promise<void> {
  const [key, listKey] = [blobKey(staged.sha256), fileListKey(staged.sha256)];
  const [info, list] = [await blobs.stat(key), await blobs.stat(listKey)];
  if (info?.size !== staged.size) await staged.promote(key);
  if (list?.size !== fileList.byteLength) await blobs.putDerived(listKey, fileList);
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
