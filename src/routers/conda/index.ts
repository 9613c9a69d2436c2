// The conda routes: the same handlers under each form of a channel address.

import { Elysia } from "elysia";
import { notFound } from "../../errors.ts";
import type { Health } from "../../services/health.ts";
import type { Call, Pipeline } from "../request-pipeline.ts";
import { preflightResponse } from "../http/cors.ts";
import { CHANNEL_METHODS, methodNotAllowed, requireFolder } from "../methods.ts";
import { anacondaAnswer, isAnacondaCall, uploadHelp } from "../other-protocols.ts";
import { DELETE_HELP, parseCondaPath, parseOwnerPath, PUBLISH_HELP, READ_HELP, readTarget } from "./path.ts";
import { deletePackage, putPackage, type PublishRouteParts } from "./publish.ts";
import { readChannel, readOwner, type ReadParts } from "./read.ts";

export type CondaParts = ReadParts &
  PublishRouteParts & {
    readonly defaultOwner: string | undefined;
    readonly health: Health;
    readonly publicUrl: string;
  };

/** The address of a channel without anything behind it; only an answer for people is there. */
const OWNER_FORM = "/:owner";
/** Canonical (Gitea and Forgejo), Quetz, with a token at the front of the path, and the short form in messages and hints. */
export const CONDA_FORMS = ["/api/packages/:owner/conda/*", "/get/*", "/t/*", "/:owner/*"] as const;

export function condaRoutes(parts: CondaParts, pipeline: Pipeline, prefix: string) {
  const app = new Elysia({ name: `conda${prefix}` });
  for (const form of CONDA_FORMS) {
    // The body stays a stream: it is a package, whatever its content type says.
    const handle = ({ request }: { request: Request }) =>
      pipeline.handle(request, form, (call) => dispatch(parts, call));
    app.all(prefix + form, handle, { parse: "none" });
  }
  app.all(prefix + OWNER_FORM, ({ request }) => pipeline.handle(request, OWNER_FORM, (call) => dispatch(parts, call)), {
    parse: "none",
  });
  return app;
}

async function dispatch(parts: CondaParts, call: Call): Promise<Response> {
  const { method } = call.request;
  if (isAnacondaCall(call.request)) return anacondaAnswer(call, uploadHelp(parts.publicUrl));
  requireFolder(parts.health);
  const path = parseCondaPath(call.context.path, parts.defaultOwner);
  if (!path) return await outsideChannels(parts, call);
  switch (method) {
    case "GET":
    case "HEAD":
      return await readChannel(parts, call, path);
    case "PUT":
      return await putPackage(parts, call, path);
    case "DELETE":
      return await deletePackage(parts, call, path);
    case "OPTIONS": {
      const target = { kind: "channel", owner: path.owner, channel: readTarget(path).channel } as const;
      return await preflightResponse(parts.access, call, target, CHANNEL_METHODS);
    }
    default:
      throw methodNotAllowed(method, CHANNEL_METHODS, uploadHelp(parts.publicUrl));
  }
}

/** A path that is not below a channel: an owner alone, or no valid address. */
async function outsideChannels(parts: CondaParts, call: Call): Promise<never> {
  const { method } = call.request;
  const isRead = method === "GET" || method === "HEAD";
  const owner = isRead ? parseOwnerPath(call.context.path) : undefined;
  if (owner !== undefined) return await readOwner(parts, call, owner);
  const { address } = isRead ? READ_HELP : method === "DELETE" ? DELETE_HELP : PUBLISH_HELP;
  throw notFound(`There is no resource at this address. ${address}`);
}
