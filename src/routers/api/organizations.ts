// Organizations and their members, as Gitea has them.

import { z } from "zod";
import { notFound } from "../../errors.ts";
import type { Organizations } from "../../services/organizations.ts";
import type { Profiles } from "../../services/profiles.ts";
import { created, NO_CONTENT, ok } from "./answers.ts";
import { maybe, newName, visibility } from "./fields.ts";
import { giteaOrganization, giteaUser } from "./gitea.ts";
import { pagedAnswer, pageOf, sliceOf } from "./lists.ts";
import { route, type ApiRoute } from "./route.ts";

export type OrganizationRouteParts = { readonly organizations: Organizations; readonly profiles: Profiles };

const changed = z.object({
  full_name: maybe(z.string()),
  description: maybe(z.string()),
  visibility: maybe(visibility),
});
const newOrganization = changed.extend({ username: maybe(z.string()), name: maybe(z.string()) });

export function organizationRoutes({ organizations, profiles }: OrganizationRouteParts): ApiRoute[] {
  return [
    route({
      method: "GET",
      path: "/orgs",
      action: "view",
      answer: async (call) => {
        const { items, total } = await organizations.page(call.actor, pageOf(call.query));
        return pagedAnswer(call, { items: items.map(giteaOrganization), total });
      },
    }),
    route({
      method: "POST",
      path: "/orgs",
      action: "found",
      body: newOrganization,
      codes: { conflict: "unprocessable" },
      answer: async ({ actor, body }) => {
        const name = body.username ?? body.name ?? "";
        return created(giteaOrganization(await organizations.create(actor, { name, ...changeOf(body) })));
      },
    }),
    route({
      method: "GET",
      path: "/user/orgs",
      action: "signed-in",
      answer: async (call) => {
        const all = await organizations.listOf(call.actor, profiles.own(call.actor).name);
        return pagedAnswer(call, sliceOf(call, all.map(giteaOrganization)));
      },
    }),
    route({
      method: "GET",
      path: "/orgs/:org",
      action: "view",
      answer: async ({ actor, params }) => ok(giteaOrganization(await organizations.show(actor, params.org))),
    }),
    route({
      method: "PATCH",
      path: "/orgs/:org",
      action: "organize",
      body: changed,
      answer: async ({ actor, params, body }) =>
        ok(giteaOrganization(await organizations.change(actor, params.org, changeOf(body)))),
    }),
    route({
      method: "POST",
      path: "/orgs/:org/rename",
      action: "organize",
      body: newName,
      codes: { conflict: "unprocessable" },
      answer: async ({ actor, params, body }) => {
        await organizations.rename(actor, params.org, body);
        return NO_CONTENT;
      },
    }),
    route({
      method: "DELETE",
      path: "/orgs/:org",
      action: "organize",
      answer: async ({ actor, params }) => {
        await organizations.remove(actor, params.org);
        return NO_CONTENT;
      },
    }),
    ...memberRoutes({ organizations, profiles }),
  ];
}

function memberRoutes({ organizations, profiles }: OrganizationRouteParts): ApiRoute[] {
  const MEMBER = "/orgs/:org/members/:user";
  return [
    route({
      method: "GET",
      path: "/orgs/:org/members",
      action: "belong",
      answer: async (call) => {
        const page = sliceOf(call, await organizations.members(call.actor, call.params.org));
        const items = page.items.map(async ({ name, teams }) => {
          const profile = await profiles.known(name);
          return profile && { ...giteaUser(profile, call.publicUrl), teams };
        });
        return pagedAnswer(call, { ...page, items: (await Promise.all(items)).filter((item) => item !== undefined) });
      },
    }),
    route({
      method: "GET",
      path: MEMBER,
      action: "belong",
      answer: async ({ actor, params }) => {
        const members = await organizations.members(actor, params.org);
        if (members.some(({ name }) => name === params.user.toLowerCase())) return NO_CONTENT;
        throw notFound(`${params.user} is not a member of ${params.org}.`);
      },
    }),
    route({
      method: "DELETE",
      path: MEMBER,
      action: "belong",
      answer: async ({ actor, params }) => {
        await organizations.removeMember(actor, params.org, params.user);
        return NO_CONTENT;
      },
    }),
  ];
}

function changeOf({ full_name: displayName, description, visibility: word }: z.output<typeof changed>) {
  return { displayName, description, visibility: word };
}
