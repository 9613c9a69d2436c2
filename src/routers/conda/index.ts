// The conda routes: the same handlers under each form of a channel address.

import { Elysia } from "elysia";
import { notFound } from "../../errors.ts";
import type { Health } from "../../services/health.ts";
import type { Call, Pipeline } from "../request-pipeline.ts";
import { methodNotAllowed, requireFolder } from "../methods.ts";
import { parseCondaPath } from "./path.ts";
import { deletePackage, putPackage, type PublishRouteParts } from "./publish.ts";
import { readChannel, type ReadParts } from "./read.ts";

export type CondaParts = ReadParts &
  PublishRouteParts & { readonly defaultOwner: string | undefined; readonly health: Health };

/** Canonical (Gitea and Forgejo), Quetz, with a token in the path, and the short form in messages and hints. */
export const CONDA_FORMS = ["/api/packages/:owner/conda/*", "/get/*", "/t/*", "/:owner/*"] as const;
export const CONDA_METHODS = ["GET", "HEAD", "PUT", "DELETE"] as const;

export function condaRoutes(parts: CondaParts, pipeline: Pipeline) {
  const app = new Elysia({ name: "conda" });
  for (const form of CONDA_FORMS) {
    // The body stays a stream: it is a package, whatever its content type says.
    app.all(form, ({ request }) => pipeline.handle(request, form, (call) => dispatch(parts, call)), { parse: "none" });
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
    default:
      throw methodNotAllowed(method, CONDA_METHODS);
  }
}
