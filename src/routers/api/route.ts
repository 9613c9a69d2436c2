// A route of the API: a row of its table, with everything that the server needs to answer it.

import type { z } from "zod";
import type { ErrorCode } from "../../errors.ts";
import type { RequestActor } from "../../services/actor.ts";
import type { Action } from "../../services/access-rules.ts";
import type { Answer } from "./answers.ts";
import type { ParamsOf } from "./path.ts";

export type ApiMethod = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/**
 * Who can call a route. The gate decides; this is what the server refuses before it reads the body: anonymous requests,
 * except for `open` (no credential is checked) and `read` and `see` (what is public is for everyone).
 */
export type ApiAction = Action | "open" | "signed-in";

/** The argument of a route's `answer`. */
export type ApiCall<Params, Body> = {
  readonly actor: RequestActor;
  /** The decoded segments of the path. */
  readonly params: Params;
  readonly body: Body;
  readonly query: URLSearchParams;
  readonly publicUrl: string;
  /** The path below `publicUrl` as sent, for links to other pages of a list. */
  readonly path: string;
  readonly headers: Headers;
};

type RouteOf<Path extends string, Body> = {
  readonly method: ApiMethod;
  /** Below `/api/v1`; `:name` is one segment. See `path.ts` for the segments that can contain a slash. */
  readonly path: Path;
  readonly action: ApiAction;
  /** The JSON that the route accepts; members that it does not name are ignored. Without it, no body is read. */
  readonly body?: z.ZodType<Body>;
  /** Other codes for errors of the services, where Gitea has another status than the rest of the server. */
  readonly codes?: Partial<Readonly<Record<ErrorCode, ErrorCode>>>;
  readonly answer: (call: ApiCall<ParamsOf<Path>, Body>) => Promise<Answer | Response>;
};

export type ApiRoute = Omit<RouteOf<string, unknown>, "answer"> & {
  readonly answer: (call: ApiCall<Readonly<Record<string, string>>, unknown>) => Promise<Answer | Response>;
};

/** A row of the table. Parameters and body have the types of its path and schema. */
export function route<const Path extends string, Body = undefined>(row: RouteOf<Path, Body>): ApiRoute {
  const { answer, ...rest } = row;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- `index.ts` matches the path and parses the body first
  return { ...rest, answer: (call) => answer(call as ApiCall<ParamsOf<Path>, Body>) };
}
