// The roles on a channel: those of users and robots, and those of teams.

import { z } from "zod";
import { malformed, notFound } from "../../errors.ts";
import type { GrantInfo, Grants, Holder } from "../../services/grants.ts";
import { NO_CONTENT, ok } from "./answers.ts";
import { CHANNEL } from "./channels.ts";
import { maybe, roleOf, roleWords } from "./fields.ts";
import { cursorOf, limitOf, listAnswer } from "./lists.ts";
import { channelOf } from "./path.ts";
import { route, type ApiRoute } from "./route.ts";

export type MemberRouteParts = { readonly grants: Grants };

const newRole = z.object({ ...roleWords, packages: maybe(z.array(z.string().max(256)).max(64)) });
const key = z.tuple([z.string(), z.string()]);

/** The two kinds of holders have the same routes. */
type Kind = {
  readonly path: `${typeof CHANNEL}/${"members" | "teams"}`;
  /** Whether a role belongs to this kind, and if `text` is given, to this holder. */
  readonly has: (grant: GrantInfo, text?: string) => boolean;
  readonly holderOf: (text: string) => Holder;
};

const KINDS: readonly Kind[] = [
  {
    path: `${CHANNEL}/members`,
    has: (grant, text) => "user" in grant && (text === undefined || grant.user === text.toLowerCase()),
    holderOf: (text) => text,
  },
  {
    path: `${CHANNEL}/teams`,
    has: (grant, text) => "team" in grant && (text === undefined || String(grant.id) === text),
    holderOf: (text) => ({ team: teamId(text) }),
  },
];

export function memberRoutes({ grants }: MemberRouteParts): ApiRoute[] {
  return KINDS.flatMap((kind) => routesOf(kind, grants));
}

function routesOf({ path, has, holderOf }: Kind, grants: Grants): ApiRoute[] {
  const one = `${path}/:member` as const;
  return [
    route({
      method: "GET",
      path,
      action: "manage",
      answer: async ({ actor, params, query }) => {
        const all = (await grants.list(actor, channelOf(params))).filter((grant) => has(grant));
        const after = cursorOf(query, key);
        const rest = inOrder(all).filter((grant) => after === undefined || isAfter(keyOf(grant), after));
        const items = rest.slice(0, limitOf(query));
        const last = rest.length > items.length ? items.at(-1) : undefined;
        return listAnswer(items, last && keyOf(last));
      },
    }),
    route({
      method: "GET",
      path: one,
      action: "manage",
      answer: async ({ actor, params }) => {
        const all = await grants.list(actor, channelOf(params));
        const found = all.find((grant) => has(grant, params.member));
        if (!found) throw notFound(`${params.member} has no role on this channel.`);
        return ok(found);
      },
    }),
    route({
      method: "PUT",
      path: one,
      action: "manage",
      body: newRole,
      answer: async ({ actor, params, body }) => {
        await grants.set(actor, channelOf(params), holderOf(params.member), roleOf(body), body.packages);
        return NO_CONTENT;
      },
    }),
    route({
      method: "DELETE",
      path: one,
      action: "manage",
      answer: async ({ actor, params }) => {
        await grants.revoke(actor, channelOf(params), holderOf(params.member));
        return NO_CONTENT;
      },
    }),
  ];
}

function teamId(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw malformed("A team is named by its id here, a number.");
  return Number(text);
}

type Key = z.output<typeof key>;

/** The scope of the role, and its holder. */
function keyOf(grant: GrantInfo): Key {
  return [grant.on, "user" in grant ? grant.user : grant.team];
}

function inOrder(grants: readonly GrantInfo[]): GrantInfo[] {
  return grants.toSorted((one, other) => (isAfter(keyOf(one), keyOf(other)) ? 1 : -1));
}

function isAfter([on, holder]: Key, [otherOn, otherHolder]: Key): boolean {
  return on === otherOn ? holder > otherHolder : on > otherOn;
}
