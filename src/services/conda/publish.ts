// Publishing: every dialect ends here. Authorise, stage, inspect, authorise again, promote, commit.

import { AppError, invalidArgument, malformed } from "../../errors.ts";
import type { Events } from "../../events.ts";
import type { ChannelRow } from "../../models/channel.ts";
import type { Database, Transaction } from "../../models/database.ts";
import { knownBlobs } from "../../models/package-blob.ts";
import { channelNameProblem } from "../../modules/conda/channel-name.ts";
import { formatOf } from "../../modules/conda/file-name.ts";
import type { Finding } from "../../modules/conda/findings.ts";
import { setRecordSubdir } from "../../modules/conda/record.ts";
import { composeShard } from "../../modules/conda/shards.ts";
import { storedProblem } from "../../modules/conda/stored.ts";
import type { BlobStore } from "../../modules/storage/blob-store.ts";
import { blobKey, fileListKey } from "../../modules/storage/keys.ts";
import type { Admission, Upload, Uploader } from "../admission.ts";
import type { Access } from "../access.ts";
import { tokenOf, userOf, type RequestActor } from "../actor.ts";
import { channelLabel, findPlace, type ChannelPlace } from "../channel-place.ts";
import type { Channels } from "../channels.ts";
import type { NewFile, Packages } from "../packages.ts";
import type { Incoming, StagedFile, Staging } from "../staging.ts";
import { refusal, type AcceptedPackage, type Inspect } from "./inspect.ts";
import { condaPolicyOf } from "./policy.ts";

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
  readonly admit: Admission["admit"];
  readonly publicUrl: string;
};

/** What the package is, once it is known for certain. */
type Resolved = { readonly accepted: AcceptedPackage; readonly subdir: string; readonly findings: readonly Finding[] };

export function createPublish(parts: PublishParts): Publish {
  return async (request) => {
    const place = await authorise(parts, request);
    const file = `${request.subdir ?? "?"}/${request.fileName}`;
    const channel = channelLabel(request.owner, request.channel);
    try {
      const published = await parts.admit(uploaderOf(request), (upload) => receive(parts, request, place, upload));
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

function uploaderOf(request: PublishRequest): Uploader {
  const account = accountOf(request);
  const token = tokenOf(request.actor);
  if (!token) return { account, credential: "password", name: `The password of ${account}` };
  const { id, name } = token;
  return { account, credential: `token ${id}`, name: `The token ${name} of ${account}` };
}

function accountOf({ actor }: PublishRequest): string {
  return userOf(actor)?.owner.name ?? "";
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

async function receive(
  parts: PublishParts,
  request: PublishRequest,
  place: ChannelPlace,
  upload: Upload,
): Promise<Published> {
  const staged = await parts.staging.receive(request.incoming, upload);
  try {
    const resolved = resolve(request, place, await parts.inspect(staged, request.fileName, accountOf(request)));
    await parts.access.require(request.actor, "publish", targetOf(request, resolved.accepted), parts.database.read);
    const file = newFile(staged, resolved);
    await checkFile(parts, request, file);
    const ready = { staged, resolved, file };
    if (request.dryRun) return answer(parts, request, place, ready, { revision: null, at: null });
    await staged.durable();
    return await store(parts, request, ready);
  } finally {
    await staged.discard();
  }
}

/** What is there already must leave no bytes behind; the transaction looks once more. */
async function checkFile(parts: PublishParts, request: PublishRequest, file: NewFile): Promise<void> {
  const reader = parts.database.read;
  const place = await findPlace(reader, request.owner, request.channel);
  if (place?.channel) await parts.packages.checkFile(reader, place.channel, file);
}

async function store(parts: PublishParts, request: PublishRequest, ready: Ready): Promise<Published> {
  const { staged, resolved } = ready;
  try {
    await both(
      staged.promote(blobKey(staged.sha256)),
      parts.blobs.putDerived(fileListKey(staged.sha256), resolved.accepted.fileList),
    );
    return await parts.database.transact((tx) => commit(parts, request, ready, tx));
  } catch (error) {
    // What cannot be taken back now is collected later, and nobody waits for a busy database twice.
    const isBusy = error instanceof AppError && error.code === "unavailable";
    if (!isBusy) await takeBack(parts, staged.sha256).catch(() => undefined);
    throw error;
  }
}

/** In a transaction: a publish of the same bytes either has committed by then, or finds them gone and puts them back. */
async function takeBack({ database, blobs }: PublishParts, sha256: string): Promise<void> {
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
  if (condaPolicyOf(place.channel).validation === "strict" && findings.length > 0) throw refusal(findings);
  return { accepted, subdir, findings };
}

type Ready = { readonly staged: StagedFile; readonly resolved: Resolved; readonly file: NewFile };

async function commit(parts: PublishParts, request: PublishRequest, ready: Ready, tx: Transaction): Promise<Published> {
  const { staged, resolved, file } = ready;
  const { actor } = request;
  const place = await parts.access.require(actor, "publish", targetOf(request, resolved.accepted), tx);
  const channel = await parts.channels.ensure(tx, place, actor);
  const change = await parts.packages.addFile(tx, channel, file, actor);
  await putBack(parts.blobs, staged, resolved.accepted.fileList);
  return answer(parts, request, channel, ready, change);
}

/** What was collected or damaged between the promotion and this moment is put in place again. */
async function putBack(blobs: BlobStore, staged: StagedFile, fileList: Uint8Array): Promise<void> {
  const [key, listKey] = [blobKey(staged.sha256), fileListKey(staged.sha256)];
  const [info, list] = [await blobs.stat(key), await blobs.stat(listKey)];
  if (info?.size !== staged.size) await staged.promote(key);
  if (list?.size !== fileList.byteLength) await blobs.putDerived(listKey, fileList);
}

function newFile(staged: StagedFile, { accepted, subdir, findings }: Resolved): NewFile {
  const { sha256, md5, size } = staged;
  const { identity } = accepted;
  const { fileName } = identity;
  const record = identity.subdir === undefined ? setRecordSubdir(accepted.record, subdir) : accepted.record;
  const metadata = { ...accepted.metadata, findings };
  const problem = storedProblem(record, metadata);
  if (problem) throw refusal([problem]);
  const { runExports } = metadata;
  // A shard of its own is a little more than its entry, and every time that will be written is as long.
  const entry = { fileName, record, sha256, md5, size, runExports, indexedTimestamp: Number.MAX_SAFE_INTEGER };
  const weight = composeShard({ entries: [entry], removed: [] }).byteLength;
  return {
    packageName: identity.name,
    version: identity.version,
    section: subdir,
    fileName,
    record,
    metadata: JSON.stringify({ ...metadata, weight }),
    properties: [{ name: "conda.build", value: identity.build }],
    weight,
    blob: { sha256, md5, size },
  };
}

function answer(
  parts: PublishParts,
  request: PublishRequest,
  place: Pick<ChannelRow, "name">,
  { staged, resolved }: Ready,
  change: { readonly revision: number | null; readonly at: number | null },
): Published {
  const { identity } = resolved.accepted;
  const { subdir } = resolved;
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
