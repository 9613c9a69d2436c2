// GET /audit: the audit trail, as a list or as lines of JSON.

import type { AuditEntry, AuditPage, AuditQuery, AuditTrail } from "../../services/audit-trail.ts";
import { ok } from "./answers.ts";
import { textParam } from "./lists.ts";
import { route, type ApiRoute } from "./route.ts";

export type AuditRouteParts = { readonly auditTrail: AuditTrail };

const LINES = "application/x-ndjson";
const MAX_LIMIT = 1000;
const DEFAULT_LIMIT = 100;

export function auditRoutes({ auditTrail }: AuditRouteParts): ApiRoute[] {
  return [
    route({
      method: "GET",
      path: "/audit",
      action: "signed-in",
      codes: { "invalid-argument": "malformed" },
      answer: async ({ actor, query, headers }) => {
        const wanted = queryOf(query);
        if (!acceptsLines(headers)) return ok(await auditTrail.page(actor, wanted, limitOf(query)));
        return await linesResponse(auditTrail.pages(actor, wanted));
      },
    }),
  ];
}

function queryOf(query: URLSearchParams): AuditQuery {
  return {
    since: textParam(query, "since"),
    actor: textParam(query, "actor"),
    owner: textParam(query, "owner"),
    action: textParam(query, "action"),
  };
}

function limitOf(query: URLSearchParams): number {
  const limit = Number(query.get("limit") ?? DEFAULT_LIMIT);
  return Number.isInteger(limit) && limit > 0 ? Math.min(limit, MAX_LIMIT) : DEFAULT_LIMIT;
}

function acceptsLines(headers: Headers): boolean {
  return (headers.get("accept") ?? "").split(",").some((type) => type.split(";", 1)[0]?.trim() === LINES);
}

/** A page is read when the client has taken the one before. The first one is read now, so that its errors have a status. */
async function linesResponse(pages: AsyncGenerator<AuditPage["items"], void, undefined>): Promise<Response> {
  let next: Promise<IteratorResult<AuditPage["items"], void>> | undefined = Promise.resolve(await pages.next());
  const body = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const page = await (next ?? pages.next());
        next = undefined;
        if (page.done === true) controller.close();
        else controller.enqueue(Buffer.from(page.value.map(lineOf).join("")));
      },
      cancel: async () => void (await pages.return()),
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { status: 200, headers: { "content-type": LINES, "cache-control": "no-store" } });
}

function lineOf(entry: AuditEntry): string {
  return `${JSON.stringify(entry)}\n`;
}
