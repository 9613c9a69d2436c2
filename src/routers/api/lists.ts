// Lists of the API: by page with a total, as Gitea has them, or by an opaque cursor on the server's own routes.

import type { z } from "zod";
import { malformed } from "../../errors.ts";
import { ok, type Answer } from "./answers.ts";
import type { ApiCall } from "./route.ts";

/** A page of a list in Gitea's form. */
export type Page = { readonly page: number; readonly limit: number; readonly offset: number };

const MAX_LIMIT = 50;
const DEFAULT_LIMIT = 30;
const MAX_PAGE = 1_000_000;

/** As in Gitea, a value that makes no sense is the default, and one too large is the maximum. */
export function pageOf(query: URLSearchParams): Page {
  const page = clamped(query.get("page"), 1, MAX_PAGE);
  const limit = limitOf(query);
  return { page, limit, offset: (page - 1) * limit };
}

/** The number of items that a request asks for, by default 30, at most 50. */
export function limitOf(query: URLSearchParams): number {
  return clamped(query.get("limit"), DEFAULT_LIMIT, MAX_LIMIT);
}

/** The page of a list that is short enough to be read at once. */
export function sliceOf<Item>(
  { query }: Pick<ApiCall<unknown, unknown>, "query">,
  all: readonly Item[],
): { readonly items: Item[]; readonly total: number } {
  const { offset, limit } = pageOf(query);
  return { items: all.slice(offset, offset + limit), total: all.length };
}

/** Gitea's form of a list: an array, with its total and links to the other pages in headers. */
export function pagedAnswer(
  call: Pick<ApiCall<unknown, unknown>, "query" | "publicUrl" | "path">,
  { items, total }: { readonly items: readonly unknown[]; readonly total: number },
): Answer {
  const { page, limit } = pageOf(call.query);
  const last = Math.max(1, Math.ceil(total / limit));
  const pages = [
    ["next", page < last ? page + 1 : undefined],
    ["last", page < last ? last : undefined],
    ["first", page > 1 ? 1 : undefined],
    ["prev", page > 1 ? Math.min(page - 1, last) : undefined],
  ] as const;
  const links = pages.flatMap(([rel, to]) => (to === undefined ? [] : [`<${urlOfPage(call, to)}>; rel="${rel}"`]));
  return ok(items, { "x-total-count": String(total), ...(links.length > 0 && { link: links.join(",") }) });
}

function urlOfPage(
  { query, publicUrl, path }: Pick<ApiCall<unknown, unknown>, "query" | "publicUrl" | "path">,
  page: number,
): string {
  const changed = new URLSearchParams(query);
  changed.set("page", String(page));
  return `${publicUrl}${path}?${changed.toString()}`;
}

/** The server's own form of a list. `next` is the key of the last item, undefined at the end of the list. */
export function listAnswer(items: readonly unknown[], next?: unknown): Answer {
  return ok({ items, next: next === undefined ? null : Buffer.from(JSON.stringify(next)).toString("base64url") });
}

/** The key in the parameter `cursor`, undefined without one. Errors: `malformed` for a text that no list returned. */
export function cursorOf<Key>(query: URLSearchParams, schema: z.ZodType<Key>): Key | undefined {
  const text = query.get("cursor");
  if (text === null) return undefined;
  try {
    return schema.parse(JSON.parse(Buffer.from(text, "base64url").toString("utf8")));
  } catch {
    throw malformed("The parameter cursor must be the member next of an earlier page.");
  }
}

/** A text parameter of at most 256 characters. Errors: `malformed`. */
export function textParam(query: URLSearchParams, name: string): string | undefined {
  const text = query.get(name)?.trim() ?? "";
  if (text.length > 256 || /\p{Cc}/u.test(text))
    throw malformed(`The parameter ${name} must have at most 256 characters, and no control characters.`);
  return text === "" ? undefined : text;
}

function clamped(text: string | null, usual: number, most: number): number {
  const value = Number(text ?? "");
  return Number.isInteger(value) && value >= 1 ? Math.min(value, most) : usual;
}
