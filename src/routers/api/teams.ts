// Teams of organizations and their members, as Gitea has them.

import { z } from "zod";
import { notFound } from "../../errors.ts";
import type { Profiles } from "../../services/profiles.ts";
import type { Teams } from "../../services/teams.ts";
import { created, NO_CONTENT, ok } from "./answers.ts";
import { givenRole, maybe, roleOf, roleWords } from "./fields.ts";
import { giteaTeam, giteaUser } from "./gitea.ts";
import { pagedAnswer, sliceOf } from "./lists.ts";
import { NO_RESOURCE } from "./path.ts";
import { route, type ApiRoute } from "./route.ts";

export type TeamRouteParts = { readonly teams: Teams; readonly profiles: Profiles };

const limits = {
  channels: maybe(z.array(z.string().max(256)).max(64)),
  packages: maybe(z.array(z.string().max(256)).max(64)),
};
const newTeam = z.object({ name: z.string(), ...roleWords, ...limits });
const changedTeam = z.object({ name: maybe(z.string()), ...roleWords, ...limits });

export function teamRoutes({ teams, profiles }: TeamRouteParts): ApiRoute[] {
  return [
    route({
      method: "GET",
      path: "/orgs/:org/teams",
      action: "belong",
      answer: async (call) => {
        const all = await teams.list(call.actor, call.params.org);
        return pagedAnswer(call, sliceOf(call, all.map(giteaTeam)));
      },
    }),
    route({
      method: "POST",
      path: "/orgs/:org/teams",
      action: "organize",
      body: newTeam,
      codes: { conflict: "unprocessable" },
      answer: async ({ actor, params, body }) => {
        const { name, channels, packages } = body;
        return created(
          giteaTeam(await teams.create(actor, params.org, { name, role: roleOf(body), channels, packages })),
        );
      },
    }),
    route({
      method: "GET",
      path: "/teams/:team",
      action: "belong",
      answer: async ({ actor, params }) => ok(giteaTeam(await teams.show(actor, idOf(params)))),
    }),
    route({
      method: "PATCH",
      path: "/teams/:team",
      action: "organize",
      body: changedTeam,
      codes: { conflict: "unprocessable" },
      answer: async ({ actor, params, body }) => {
        const { name, channels, packages } = body;
        const change = { name, role: givenRole(body), channels, packages };
        return ok(giteaTeam(await teams.change(actor, idOf(params), change)));
      },
    }),
    route({
      method: "DELETE",
      path: "/teams/:team",
      action: "organize",
      answer: async ({ actor, params }) => {
        await teams.remove(actor, idOf(params));
        return NO_CONTENT;
      },
    }),
    ...memberRoutes({ teams, profiles }),
  ];
}

function memberRoutes({ teams, profiles }: TeamRouteParts): ApiRoute[] {
  const MEMBER = "/teams/:team/members/:member";
  return [
    route({
      method: "GET",
      path: "/teams/:team/members",
      action: "belong",
      answer: async (call) => {
        const page = sliceOf(call, await teams.members(call.actor, idOf(call.params)));
        const items = page.items.map(async ({ name, kind }) => {
          const profile = await profiles.known(name);
          return profile && { ...giteaUser(profile, call.publicUrl), kind };
        });
        return pagedAnswer(call, { ...page, items: (await Promise.all(items)).filter((item) => item !== undefined) });
      },
    }),
    route({
      method: "GET",
      path: MEMBER,
      action: "belong",
      answer: async ({ actor, params, publicUrl }) => {
        const members = await teams.members(actor, idOf(params));
        const member = members.find(({ name }) => name === params.member.toLowerCase());
        const profile = member && (await profiles.known(member.name));
        if (!profile) throw notFound(`${params.member} is not in this team.`);
        return ok({ ...giteaUser(profile, publicUrl), kind: member.kind });
      },
    }),
    route({
      method: "PUT",
      path: MEMBER,
      action: "organize",
      answer: async ({ actor, params }) => {
        await teams.addMember(actor, idOf(params), params.member);
        return NO_CONTENT;
      },
    }),
    route({
      method: "DELETE",
      path: MEMBER,
      action: "belong",
      answer: async ({ actor, params }) => {
        await teams.removeMember(actor, idOf(params), params.member);
        return NO_CONTENT;
      },
    }),
  ];
}

function idOf({ team }: { readonly team: string }): number {
  if (!/^\d{1,15}$/.test(team)) throw notFound(NO_RESOURCE);
  return Number(team);
}
