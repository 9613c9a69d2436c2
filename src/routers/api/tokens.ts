// Access tokens of a user, as Gitea has them; with an expiry, channels and packages besides.

import { z } from "zod";
import type { Tokens } from "../../services/tokens.ts";
import { created, NO_CONTENT } from "./answers.ts";
import { maybe, words } from "./fields.ts";
import { giteaToken } from "./gitea.ts";
import { pagedAnswer, pageOf } from "./lists.ts";
import { route, type ApiRoute } from "./route.ts";

export type TokenRouteParts = { readonly tokens: Tokens };

export const newToken = z.object({
  name: z.string(),
  scopes: words,
  channels: words,
  packages: words,
  expires_at: maybe(z.iso.datetime({ offset: true })),
});

/** Gitea answers 400 for a taken name and for a scope that it does not know. */
const CODES = { conflict: "malformed", "invalid-argument": "malformed" } as const;

export function tokenRoutes({ tokens }: TokenRouteParts): ApiRoute[] {
  return [
    route({
      method: "GET",
      path: "/users/:user/tokens",
      action: "tokens",
      answer: async (call) => {
        const all = (await tokens.list(call.actor, call.params.user)).filter(({ isEnded }) => !isEnded);
        const { offset, limit } = pageOf(call.query);
        const items = all.slice(offset, offset + limit).map((token) => giteaToken(token));
        return pagedAnswer(call, { items, total: all.length });
      },
    }),
    route({
      method: "POST",
      path: "/users/:user/tokens",
      action: "tokens",
      body: newToken,
      codes: CODES,
      answer: async ({ actor, params, body: { expires_at: until, ...limits } }) => {
        const expires = until === undefined ? undefined : Date.parse(until);
        const { token, ...info } = await tokens.create(actor, {
          user: params.user,
          lifetime: undefined,
          ...limits,
          expires,
        });
        return created(giteaToken(info, token));
      },
    }),
    route({
      method: "DELETE",
      path: "/users/:user/tokens",
      action: "tokens",
      answer: async ({ actor, params }) => {
        await tokens.revokeAll(actor, params.user);
        return NO_CONTENT;
      },
    }),
    route({
      method: "DELETE",
      path: "/users/:user/tokens/:token",
      action: "tokens",
      answer: async ({ actor, params }) => {
        await tokens.revoke(actor, params.user, params.token, { orId: true });
        return NO_CONTENT;
      },
    }),
  ];
}
