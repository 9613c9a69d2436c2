// The generic routes, compatible with Gitea: files by package, version and name, below an owner.
// https://docs.gitea.com/usage/packages/generic

import { Elysia } from "elysia";
import { notFound } from "../../errors.ts";
import { genericSection, type GenericName } from "../../modules/generic/names.ts";
import { isOwnerName } from "../../modules/owner-name.ts";
import type { Access } from "../../services/access.ts";
import type { RouteHelp } from "../../services/actor.ts";
import type { ChannelRef } from "../../services/channel-ref.ts";
import type { GenericPublish } from "../../services/generic/publish.ts";
import type { GenericRemove } from "../../services/generic/remove.ts";
import { GENERIC } from "../../services/generic/type.ts";
import type { Health } from "../../services/health.ts";
import type { Source } from "../../services/sources/source.ts";
import { actorOf } from "../actor.ts";
import type { Call, Pipeline } from "../request-pipeline.ts";
import { preflightResponse } from "../http/cors.ts";
import { methodNotAllowed, requireFolder } from "../methods.ts";
import { packageResponse, readerOf } from "../package-file.ts";
import { decodePath } from "../raw-path.ts";
import { foldCase } from "../../modules/fold-case.ts";
import { incomingOf, publishedResponse, uploadOptions } from "../upload.ts";

export type GenericParts = {
  readonly access: Access;
  readonly health: Health;
  readonly sourceOf: (ref: ChannelRef) => Source;
  readonly publish: GenericPublish;
  readonly remove: GenericRemove;
};

const VERSION_FORM = "/api/packages/:owner/generic/:name/:version";
const FILE_FORM = `${VERSION_FORM}/:file`;
const FILE_METHODS = ["GET", "HEAD", "PUT", "DELETE"] as const;
const HELP: RouteHelp = {
  address:
    "A file's address is /api/packages/{owner}/generic/{name}/{version}/{file}, " +
    "for example /api/packages/alice/generic/tool/1.0/tool.zip.",
  signIn: "To sign in, give curl the option --user NAME:TOKEN.",
};

export function genericRoutes(parts: GenericParts, pipeline: Pipeline, prefix: string) {
  const app = new Elysia({ name: `generic${prefix}` });
  const routes = [
    [FILE_FORM, ofFile],
    [VERSION_FORM, ofVersion],
  ] as const;
  for (const [form, dispatch] of routes) {
    // The body stays a stream: it is a file, whatever its content type says.
    const handle = ({ request }: { request: Request }) =>
      pipeline.handle(request, form, (call) => dispatch(parts, call));
    app.all(prefix + form, handle, { parse: "none" });
  }
  return app;
}

type FilePath = GenericName & { readonly owner: string };

async function ofFile(parts: GenericParts, call: Call): Promise<Response> {
  const { method } = call.request;
  requireFolder(parts.health);
  const path = filePath(call);
  switch (method) {
    case "GET":
    case "HEAD":
      return await getFile(parts, call, path);
    case "PUT":
      return await putFile(parts, call, path);
    case "DELETE":
      return await remove(parts, call, path);
    case "OPTIONS":
      return await preflightResponse(parts.access, call, channelOf(path), FILE_METHODS);
    default:
      throw methodNotAllowed(method, FILE_METHODS, HELP.address);
  }
}

async function ofVersion(parts: GenericParts, call: Call): Promise<Response> {
  const { method } = call.request;
  requireFolder(parts.health);
  if (method !== "DELETE") throw methodNotAllowed(method, ["DELETE"], HELP.address);
  return await remove(parts, call, { ...filePath(call), fileName: undefined });
}

/** Parses the path as sent: each part must decode to exactly one segment. */
function filePath({ context }: Call): FilePath {
  const [, , owner, , name, version, fileName = ""] = decodePath(context.path) ?? [];
  if (owner === undefined || name === undefined || version === undefined || !isOwnerName(foldCase(owner)))
    throw notFound(`There is no resource at this address. ${HELP.address}`);
  return { owner, name, version, fileName };
}

function channelOf({ owner }: FilePath) {
  return { kind: "channel", type: GENERIC, owner, channel: "" } as const;
}

async function getFile(parts: GenericParts, call: Call, path: FilePath): Promise<Response> {
  const actor = await actorOf(call, { help: HELP });
  const ref = await parts.access.require(actor, "read", channelOf(path));
  const { asking, isPublic } = readerOf(call, actor, ref);
  const file = await parts.sourceOf(ref).file(genericSection(path), path.fileName);
  if (!file) throw notFound("There is no such package, version or file.");
  return await packageResponse(asking, path.fileName, file, { isPublic });
}

async function putFile(parts: GenericParts, call: Call, path: FilePath): Promise<Response> {
  const actor = await actorOf(call, { help: HELP });
  const options = uploadOptions(call);
  return publishedResponse(await parts.publish({ ...path, ...options, actor, incoming: incomingOf(call) }));
}

async function remove(
  parts: GenericParts,
  call: Call,
  path: Omit<FilePath, "fileName"> & { readonly fileName: string | undefined },
): Promise<Response> {
  const { owner, name, version, fileName } = path;
  const actor = await actorOf(call, { help: HELP });
  await parts.remove({ actor, owner, name, version, fileName });
  return new Response(null, { status: 204, headers: { "cache-control": "no-store" } });
}
