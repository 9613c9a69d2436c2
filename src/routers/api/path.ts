// The paths of the API: which segments a route's pattern names, decoded.

import { notFound } from "../../errors.ts";
import type { OneChannel } from "../../services/channel-ref.ts";
import { decodeSegment } from "../raw-path.ts";

/** The names of the segments of a pattern: `/users/:user` has `user`. */
export type ParamsOf<Path extends string> = string extends Path
  ? Readonly<Record<string, string>>
  : Path extends `${string}/:${infer Name}/${infer Rest}`
    ? Readonly<Record<Name, string>> & ParamsOf<`/${Rest}`>
    : Path extends `${string}/:${infer Name}`
      ? Readonly<Record<Name, string>>
      : object;

/** The segments that can contain slashes, written `%2F`: channels, Gitea's names of packages, and members, for robots. */
const WITH_SLASHES = new Set(["channel", "name", "member"]);

export const NO_RESOURCE = "There is no resource at this address of the API.";

/** The decoded segments that `pattern` names. Errors: `not-found` when one does not decode to a single segment. */
export function paramsOf(pattern: string, path: string): Record<string, string> {
  const raw = path.replace(/\/$/, "").split("/");
  const params: Record<string, string> = {};
  for (const [at, part] of pattern.split("/").entries()) {
    if (!part.startsWith(":")) continue;
    const name = part.slice(1);
    const text = decodeSegment(raw[at] ?? "", { slashes: WITH_SLASHES.has(name) });
    if (text === undefined || text === "") throw notFound(NO_RESOURCE);
    params[name] = text;
  }
  return params;
}

/** The channel of `/channels/:owner/:channel`: `-` is the unnamed one, `type:owner` names another type than conda. */
export function channelOf({ owner, channel }: { readonly owner: string; readonly channel: string }): OneChannel {
  const colon = owner.indexOf(":");
  return {
    type: colon < 0 ? undefined : owner.slice(0, colon),
    owner: owner.slice(colon + 1),
    channel: channel === "-" ? "" : channel,
  };
}
