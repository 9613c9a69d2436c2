// PUT and DELETE below a channel, in the form of Gitea and in that of Artifactory, which has the subdir in the path.

import { AppError, malformed, notFound } from "../../errors.ts";
import { isSubdir } from "../../modules/conda/subdir.ts";
import type { Publish } from "../../services/conda/publish.ts";
import type { Remove } from "../../services/conda/remove.ts";
import { actorOf } from "../actor.ts";
import type { Call } from "../request-pipeline.ts";
import { incomingOf, publishedResponse, uploadOptions } from "../upload.ts";
import { DELETE_HELP, deleteTarget, PUBLISH_HELP, publishTarget, type CondaPath } from "./path.ts";

export type PublishRouteParts = {
  readonly channelExists: (owner: string, name: string) => Promise<boolean>;
  readonly publish: Publish;
  readonly remove: Remove;
  readonly subdirs: readonly string[];
};

export async function putPackage(parts: PublishRouteParts, call: Call, path: CondaPath): Promise<Response> {
  const actor = await actorOf(call, { help: PUBLISH_HELP });
  const target = await publishTarget(path, {
    subdirs: parts.subdirs,
    isChannel: (name) => parts.channelExists(path.owner, name),
  });
  const incoming = incomingOf(call);
  const common = {
    ...uploadOptions(call),
    actor,
    owner: path.owner,
    channel: target.channel,
    fileName: target.file,
    subdir: target.subdir,
    anyName: target.subdir === undefined,
  };
  try {
    return publishedResponse(await parts.publish({ ...common, incoming }));
  } catch (error) {
    // Gitea documents 400 for an invalid package, so its form gets 400 instead of 422.
    const isGiteas = common.anyName && error instanceof AppError && error.code === "invalid";
    throw isGiteas ? malformed(error.message, error.facts) : error;
  }
}

export async function deletePackage(parts: PublishRouteParts, call: Call, path: CondaPath): Promise<Response> {
  const actor = await actorOf(call, { help: DELETE_HELP });
  const target = deleteTarget(path);
  if (!target || !isSubdir(target.subdir))
    throw notFound(`The address of a file to delete ends in {subdir}/{file}. ${DELETE_HELP.address}`);
  await parts.remove({
    actor,
    owner: path.owner,
    channel: target.channel,
    subdir: target.subdir,
    fileName: target.file,
  });
  return new Response(null, { status: 204, headers: { "cache-control": "no-store" } });
}
