// Channels of all package types: their settings, and their end.

import { z } from "zod";
import { AppError } from "../../errors.ts";
import { channelLabel } from "../../services/channel-ref.ts";
import type { ChannelChange, ChannelInfo, Channels } from "../../services/channels.ts";
import { created, NO_CONTENT, ok } from "./answers.ts";
import { maybe, visibility } from "./fields.ts";
import { cursorOf, limitOf, listAnswer, textParam } from "./lists.ts";
import { channelOf } from "./path.ts";
import { route, type ApiRoute } from "./route.ts";

export type ChannelRouteParts = { readonly channels: Channels };

export const CHANNEL = "/channels/:owner/:channel";

const settings = {
  visibility: maybe(visibility),
  description: maybe(z.string().max(1000)),
  policy: maybe(z.record(z.string().max(64), z.unknown())),
};
const changedChannel = z.object(settings);
const newChannel = z.object({ owner: z.string(), name: z.string(), type: maybe(z.string()), ...settings });
const key = z.object({ owner: z.string(), type: z.string(), name: z.string() });

export function channelRoutes({ channels }: ChannelRouteParts): ApiRoute[] {
  return [
    route({
      method: "GET",
      path: "/channels",
      action: "read",
      answer: async ({ actor, query }) => {
        const filter = { owner: textParam(query, "owner"), text: textParam(query, "q") };
        const page = { after: cursorOf(query, key), limit: limitOf(query) };
        const { items, next } = await channels.page(actor, { ...filter, ...page });
        return listAnswer(items.map(shown), next);
      },
    }),
    route({
      method: "POST",
      path: "/channels",
      action: "create",
      body: newChannel,
      answer: async ({ actor, body: { owner, name, type, ...change } }) => {
        const channel = { type, owner, channel: name };
        await channels.create(actor, channel, changeOf(change));
        return created(shown(await channels.show(actor, channel)));
      },
    }),
    route({
      method: "GET",
      path: CHANNEL,
      action: "read",
      // A package type that does not exist.
      codes: { "invalid-argument": "not-found" },
      answer: async ({ actor, params }) => ok(shown(await channels.show(actor, channelOf(params)))),
    }),
    route({
      method: "PATCH",
      path: CHANNEL,
      action: "manage",
      body: changedChannel,
      answer: async ({ actor, params, body }) => {
        await channels.change(actor, channelOf(params), changeOf(body));
        return ok(shown(await channels.show(actor, channelOf(params))));
      },
    }),
    route({
      method: "DELETE",
      path: CHANNEL,
      action: "manage",
      answer: async ({ actor, params, query }) => {
        const { type, owner, channel } = channelOf(params);
        requireConfirmation(query, channelLabel(owner, channel, type));
        await channels.remove(actor, { type, owner, channel }, { withFiles: true });
        return NO_CONTENT;
      },
    }),
  ];
}

/** It depends on the address alone, so it reveals nothing. Errors: `unprocessable`. */
function requireConfirmation(query: URLSearchParams, label: string): void {
  if (query.get("confirm") === label) return;
  throw new AppError(
    "unprocessable",
    `This deletes the channel with all of its packages. To confirm, add ?confirm=${encodeURIComponent(label)}`,
  );
}

type Settings = z.output<typeof changedChannel>;

/** The members of JSON are written with underscores, those of a stored policy in camel case. */
function changeOf({ policy, ...change }: Settings): ChannelChange {
  return { ...change, policy: policy && renamed(policy, camelCase) };
}

function shown({ policy, owner, name, type, visibility: word, description, revision, files, bytes }: ChannelInfo) {
  const settingsOf = { visibility: word, description, policy: renamed(policy, snakeCase) };
  return { type, owner, name, ...settingsOf, revision, files, bytes };
}

function camelCase(name: string): string {
  return name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function renamed(policy: Readonly<Record<string, unknown>>, rename: (name: string) => string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(policy).map(([name, value]) => [rename(name), value]));
}
