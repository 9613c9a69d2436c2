// The conda routes: the same handlers under each form of a channel address.

import { Elysia } from "elysia";
import { notFound } from "../../errors.ts";
import type { Health } from "../../services/health.ts";
import type { Call, Pipeline } from "../request-pipeline.ts";
import { preflightResponse } from "../http/cors.ts";
import { methodNotAllowed, requireFolder } from "../methods.ts";
import { parseCondaPath, readTarget } from "./path.ts";
import { deletePackage, putPackage, type PublishRouteParts } from "./publish.ts";
import { readChannel, type ReadParts } from "./read.ts";

export type CondaParts = ReadParts &
  PublishRouteParts & { readonly defaultOwner: string | undefined; readonly health: Health };

/** Canonical (Gitea and Forgejo), Quetz, with a token at the front of the path, and the short form in messages and hints. */
export const CONDA_FORMS = ["/api/packages/:owner/conda/*", "/get/*", "/t/*", "/:owner/*"] as const;
export const CONDA_METHODS = ["GET", "HEAD", "PUT", "DELETE"] as const;

export function condaRoutes(parts: CondaParts, pipeline: Pipeline, prefix: string) {
  const app = new Elysia({ name: `conda${prefix}` });
  for (const form of CONDA_FORMS) {
    // The body stays a stream: it is a package, whatever its content type says.
    const handle = ({ request }: { request: Request }) =>
      pipeline.handle(request, form, (call) => dispatch(parts, call));
    app.all(prefix + form, handle, { parse: "none" });
  }
  return app;
}

async function dispatch(parts: CondaParts, call: Call): Promise<Response> {
  const { method } = call.request;
  requireFolder(parts.health, method);
  const path = parseCondaPath(call.context.path, parts.defaultOwner);
  if (!path) throw notFound("There is no resource at this address.");
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
      return await preflightResponse(parts.access, call, target, CONDA_METHODS);
    }
    default:
      throw methodNotAllowed(method, CONDA_METHODS);
  }
}
