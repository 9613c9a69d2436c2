// Quarantine over HTTP: of a file by the maintainers of its channel, of many files by administrators.

import { z } from "zod";
import type { Quarantines } from "../../services/quarantine.ts";
import { ok, timeOf } from "./answers.ts";
import { cursorOf, limitOf, listAnswer } from "./lists.ts";
import { channelOf } from "./path.ts";
import { route, type ApiRoute } from "./route.ts";

export type QuarantineRouteParts = { readonly quarantines: Quarantines };

const FILE = "/channels/:owner/:channel/files/:subdir/:file";

const reason = z.string().max(1000);
const selector = {
  token: z.int().positive().optional(),
  user: z.string().max(256).optional(),
  sha256: z.string().max(64).optional(),
  since: z.iso
    .datetime({ offset: true })
    .transform((text) => Date.parse(text))
    .optional(),
  dry_run: z.boolean().optional(),
};
const KEY = z.strictObject({ channel: z.int().nonnegative(), file: z.int().nonnegative() });

export function quarantineRoutes({ quarantines }: QuarantineRouteParts): ApiRoute[] {
  return [
    route({
      method: "POST",
      path: `${FILE}/quarantine`,
      action: "quarantine",
      body: z.object({ reason }),
      answer: async ({ actor, params, body }) => ok(await quarantines.quarantine(actor, fileOf(params), body.reason)),
    }),
    route({
      method: "POST",
      path: `${FILE}/release`,
      action: "quarantine",
      answer: async ({ actor, params }) => ok(await quarantines.release(actor, fileOf(params))),
    }),
    route({
      method: "GET",
      path: "/admin/quarantine",
      action: "administer",
      answer: async ({ actor, query }) => {
        const page = { after: cursorOf(query, KEY), limit: limitOf(query) };
        const { items, next } = await quarantines.list(actor, page);
        return listAnswer(
          items.map((item) => ({ ...item, since: timeOf(item.since) })),
          next,
        );
      },
    }),
    route({
      method: "POST",
      path: "/admin/quarantine",
      action: "administer",
      body: z.object({ ...selector, reason }),
      answer: async ({ actor, body: { reason: why, dry_run: dryRun = false, ...selected } }) =>
        ok(summaryOf(await quarantines.quarantineAll(actor, selected, { reason: why, dryRun }))),
    }),
    route({
      method: "POST",
      path: "/admin/release",
      action: "administer",
      body: z.object(selector),
      answer: async ({ actor, body: { dry_run: dryRun = false, ...selected } }) =>
        ok(summaryOf(await quarantines.releaseAll(actor, selected, { dryRun }))),
    }),
  ];
}

function fileOf(params: {
  readonly owner: string;
  readonly channel: string;
  readonly subdir: string;
  readonly file: string;
}) {
  return { channel: channelOf(params), section: params.subdir, fileName: params.file };
}

function summaryOf(channels: Awaited<ReturnType<Quarantines["quarantineAll"]>>) {
  return { files: channels.reduce((sum, { files }) => sum + files, 0), channels };
}
