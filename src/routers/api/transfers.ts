// Transfers of channels to other owners: one side offers, the other one accepts.

import { z } from "zod";
import { malformed } from "../../errors.ts";
import type { Offer, Transfers } from "../../services/transfers.ts";
import { NO_CONTENT, ok, timeOf, type Answer } from "./answers.ts";
import { CHANNEL } from "./channels.ts";
import { listAnswer, textParam } from "./lists.ts";
import { channelOf } from "./path.ts";
import { route, type ApiRoute } from "./route.ts";

export type TransferRouteParts = { readonly transfers: Transfers };

const TRANSFER = `${CHANNEL}/transfer` as const;
/** Gitea's member for transfers of repositories. */
const newOwner = z.object({ new_owner: z.string() });

export function transferRoutes({ transfers }: TransferRouteParts): ApiRoute[] {
  return [
    route({
      method: "GET",
      path: "/transfers",
      action: "manage",
      answer: async ({ actor, query }) => {
        const owner = textParam(query, "owner");
        if (owner === undefined) throw malformed("Name the owner whose offers you want: ?owner=NAME");
        return listAnswer((await transfers.list(actor, owner)).map(shown));
      },
    }),
    route({
      method: "GET",
      path: TRANSFER,
      action: "manage",
      answer: async ({ actor, params }) => ok(shown(await transfers.show(actor, channelOf(params)))),
    }),
    route({
      method: "POST",
      path: TRANSFER,
      action: "manage",
      body: newOwner,
      answer: async ({ actor, params, body }) =>
        accepted(shown(await transfers.offer(actor, channelOf(params), body.new_owner))),
    }),
    route({
      method: "DELETE",
      path: TRANSFER,
      action: "manage",
      answer: async ({ actor, params }) => {
        await transfers.withdraw(actor, channelOf(params));
        return NO_CONTENT;
      },
    }),
    route({
      method: "POST",
      path: `${TRANSFER}/accept`,
      action: "manage",
      answer: async ({ actor, params }) => ok({ channel: await transfers.accept(actor, channelOf(params)) }),
    }),
  ];
}

/** The transfer itself follows when the other side agrees. */
function accepted(json: unknown): Answer {
  return { status: 202, json };
}

function shown({ channel, to, created }: Offer) {
  return { channel, new_owner: to, created_at: timeOf(created) };
}
