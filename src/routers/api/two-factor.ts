// Routes to turn two-factor authentication of the own account on and off.

import { z } from "zod";
import type { TwoFactor } from "../../services/two-factor.ts";
import { created, NO_CONTENT, ok } from "./answers.ts";
import { route, type ApiRoute } from "./route.ts";

export type TwoFactorRouteParts = { readonly twoFactor: TwoFactor };

const PATH = "/user/two-factor";
const body = z.object({ code: z.string().min(1).max(64) });

export function twoFactorRoutes({ twoFactor }: TwoFactorRouteParts): ApiRoute[] {
  return [
    route({
      method: "POST",
      path: PATH,
      action: "two-factor",
      answer: async ({ actor }) => created(await twoFactor.begin(actor)),
    }),
    route({
      method: "POST",
      path: `${PATH}/confirm`,
      action: "two-factor",
      body,
      answer: async ({ actor, body: { code } }) => ok({ recovery_codes: await twoFactor.confirm(actor, code) }),
    }),
    route({
      method: "DELETE",
      path: PATH,
      action: "two-factor",
      body,
      answer: async ({ actor, body: { code } }) => {
        await twoFactor.disable(actor, code);
        return NO_CONTENT;
      },
    }),
  ];
}
