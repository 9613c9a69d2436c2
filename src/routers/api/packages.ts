// Packages of an owner, as Gitea has them: one entry per version. Its name is preceded by that of the channel.

import type { Profile, Profiles } from "../../services/profiles.ts";
import type { VersionInfo, VersionRef, Versions } from "../../services/versions.ts";
import { NO_CONTENT, ok } from "./answers.ts";
import { giteaFile, giteaPackage } from "./gitea.ts";
import { pagedAnswer, pageOf, textParam } from "./lists.ts";
import { route, type ApiRoute } from "./route.ts";

export type PackageRouteParts = { readonly versions: Versions; readonly profiles: Profiles };

const VERSION = "/packages/:owner/:type/:name/:version";

export function packageRoutes({ versions, profiles }: PackageRouteParts): ApiRoute[] {
  const ownerOf = async ({ owner }: VersionInfo): Promise<Profile | undefined> => await profiles.known(owner);
  return [
    route({
      method: "GET",
      path: "/packages/:owner",
      action: "read",
      answer: async (call) => {
        const { actor, params, query, publicUrl } = call;
        const filter = { owner: params.owner, type: textParam(query, "type") ?? "conda", text: textParam(query, "q") };
        const { items, total } = await versions.list(actor, { ...filter, ...pageOf(query) });
        const owner = items[0] && (await ownerOf(items[0]));
        return pagedAnswer(call, { items: items.map((item) => giteaPackage(item, owner, publicUrl)), total });
      },
    }),
    route({
      method: "GET",
      path: VERSION,
      action: "read",
      answer: async ({ actor, params, publicUrl }) => {
        const info = await versions.show(actor, refOf(params));
        return ok(giteaPackage(info, await ownerOf(info), publicUrl));
      },
    }),
    route({
      method: "GET",
      path: `${VERSION}/files`,
      action: "read",
      answer: async ({ actor, params }) => {
        const files = await versions.files(actor, refOf(params));
        return ok(files.map((file) => giteaFile(file)));
      },
    }),
    route({
      method: "DELETE",
      path: VERSION,
      action: "delete",
      answer: async ({ actor, params }) => {
        await versions.remove(actor, refOf(params));
        return NO_CONTENT;
      },
    }),
  ];
}

type Params = { readonly [Name in "owner" | "type" | "name" | "version"]: string };

/** `channel/name`; a name without a channel is in the unnamed one. */
function refOf({ owner, type, name, version }: Params): VersionRef {
  const slash = name.lastIndexOf("/");
  return { channel: { type, owner, channel: name.slice(0, Math.max(0, slash)) }, name: name.slice(slash + 1), version };
}
