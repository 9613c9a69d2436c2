// PUT and DELETE below a channel: Gitea's form, and Artifactory's with the subdir in the path.

import { AppError, malformed, notFound } from "../../errors.ts";
import { isSubdir } from "../../modules/conda/subdir.ts";
import { readMultipart } from "../../modules/multipart.ts";
import type { Publish, Published } from "../../services/conda/publish.ts";
import type { Remove } from "../../services/conda/remove.ts";
import type { Incoming } from "../../services/staging.ts";
import { actorOf } from "../actor.ts";
import type { Call } from "../kit.ts";
import { deleteTarget, publishTarget, type CondaPath } from "./path.ts";

export type PublishRouteParts = {
  readonly channelExists: (owner: string, name: string) => Promise<boolean>;
  readonly publish: Publish;
  readonly remove: Remove;
  readonly subdirs: readonly string[];
};

/** What a form may hold beside its file. */
const ENVELOPE_BYTES = 1024 ** 2;

export async function putPackage(parts: PublishRouteParts, call: Call, path: CondaPath): Promise<Response> {
  const { request, context } = call;
  const actor = await actorOf(call);
  const target = await publishTarget(path, {
    subdirs: parts.subdirs,
    isChannel: (name) => parts.channelExists(path.owner, name),
  });
  refuseEncoded(request);
  const common = {
    actor,
    owner: path.owner,
    channel: target.channel,
    fileName: target.file,
    subdir: target.subdir,
    anyName: target.subdir === undefined,
    dryRun: isTrue(context.query.get("dry_run")),
  };
  try {
    return publishedResponse(await parts.publish({ ...common, incoming: incomingOf(request) }));
  } catch (error) {
    // Gitea's own form answers 400 for an invalid package, as its documentation says.
    const isGiteas = common.anyName && error instanceof AppError && error.code === "invalid";
    throw isGiteas ? malformed(error.message, error.facts) : error;
  }
}

export async function deletePackage(parts: PublishRouteParts, call: Call, path: CondaPath): Promise<Response> {
  const actor = await actorOf(call);
  const target = deleteTarget(path);
  if (!target || !isSubdir(target.subdir)) throw notFound("A file to delete is named …/{subdir}/{file}.");
  await parts.remove({
    actor,
    owner: path.owner,
    channel: target.channel,
    subdir: target.subdir,
    fileName: target.file,
  });
  return new Response(null, { status: 204, headers: { "cache-control": "no-store" } });
}

function publishedResponse(published: Published): Response {
  const headers = new Headers({ "cache-control": "no-store", location: published.url });
  const status = published.revision === null ? 200 : 201;
  return Response.json(published, { status, headers });
}

function incomingOf(request: Request): Incoming {
  const type = request.headers.get("content-type") ?? "";
  const raw: Incoming = {
    body: request.body,
    length: lengthOf(request),
    expected: { sha256: hashOf(request, "x-checksum-sha256", 64), md5: hashOf(request, "x-checksum-md5", 32) },
  };
  if (!/^multipart\/form-data\b/i.test(type)) return raw;
  // The parts' own lengths are not known before they have been read.
  const atLeast = raw.length === undefined ? undefined : raw.length - ENVELOPE_BYTES;
  return { ...raw, body: request.body && readMultipart(request.body, type), length: undefined, atLeast };
}

function refuseEncoded(request: Request): void {
  const encoding = request.headers.get("content-encoding");
  if (encoding === null || encoding.toLowerCase() === "identity") return;
  throw new AppError("unsupported", "Packages are sent as they are, without a Content-Encoding.");
}

function lengthOf(request: Request): number | undefined {
  const header = request.headers.get("content-length");
  return header === null ? undefined : Number(header);
}

function hashOf(request: Request, header: string, length: number): string | undefined {
  const value = request.headers.get(header);
  if (value === null) return undefined;
  if (value.length === length && /^[0-9a-fA-F]+$/.test(value)) return value;
  throw malformed(`${header} must be ${length} hexadecimal digits.`);
}

function isTrue(value: string | null): boolean {
  return value !== null && ["", "1", "true", "yes"].includes(value.toLowerCase());
}
