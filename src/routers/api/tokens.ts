// Access tokens of a user, as Gitea has them; with an expiry, channels and packages besides.

import { z } from "zod";
import type { Tokens } from "../../services/tokens.ts";
import { created, NO_CONTENT } from "./answers.ts";
import { maybe, words } from "./fields.ts";
import { giteaToken } from "./gitea.ts";
import { pagedAnswer, sliceOf } from "./lists.ts";
import { route, type ApiRoute } from "./route.ts";

export type TokenRouteParts = { readonly tokens: Tokens };

const newToken = z.object({
  name: z.string(),
  scopes: words,
  channels: words,
  packages: words,
  expires_at: maybe(z.iso.datetime({ offset: true })),
});

/** Gitea answers 400 for a taken name and for a scope that it does not know. */
const CODES = { conflict: "malformed", "invalid-argument": "malformed" } as const;

/** The tokens of users, and those of robots. */
export function tokenRoutes({ tokens }: TokenRouteParts): ApiRoute[] {
  return [
    ...routesAt("/users/:user/tokens", tokens, (params) => params.user ?? ""),
    ...routesAt("/orgs/:org/robots/:robot/tokens", tokens, ({ org, robot }) => `${org}/${robot}`),
  ];
}

type Params = Readonly<Record<string, string>>;

function routesAt(path: string, tokens: Tokens, accountOf: (params: Params) => string): ApiRoute[] {
  return [
    route({
      method: "GET",
      path,
      action: "tokens",
      answer: async (call) => {
        const all = (await tokens.list(call.actor, accountOf(call.params))).filter(({ isEnded }) => !isEnded);
        const { items, total } = sliceOf(call, all);
        return pagedAnswer(call, { items: items.map((token) => giteaToken(token)), total });
      },
    }),
    route({
      method: "POST",
      path,
      action: "tokens",
      body: newToken,
      codes: CODES,
      answer: async ({ actor, params, body: { expires_at: until, ...limits } }) => {
        const expires = until === undefined ? undefined : Date.parse(until);
        const { token, ...info } = await tokens.issue(actor, {
          user: accountOf(params),
          lifetime: undefined,
          ...limits,
          expires,
        });
        return created(giteaToken(info, token));
      },
    }),
    route({
      method: "DELETE",
      path,
      action: "tokens",
      answer: async ({ actor, params }) => {
        await tokens.revokeAll(actor, accountOf(params));
        return NO_CONTENT;
      },
    }),
    route({
      method: "DELETE",
      path: `${path}/:token`,
      action: "tokens",
      answer: async ({ actor, params }) => {
        await tokens.revoke(actor, accountOf(params), params.token ?? "", { orId: true });
        return NO_CONTENT;
      },
    }),
  ];
}
