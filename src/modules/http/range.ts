// Parses one byte range per request (RFC 9110 section 14); anything else gets the full response.

import { httpDate } from "./etag.ts";

export type Range =
  | { readonly kind: "none" }
  /** Both ends are inclusive. */
  | { readonly kind: "range"; readonly start: number; readonly end: number }
  | { readonly kind: "unsatisfiable" };

const NONE: Range = { kind: "none" };
const UNSATISFIABLE: Range = { kind: "unsatisfiable" };

/** Several ranges, a reversed range or another unit count as none: a full response is always valid. */
export function parseRange(header: string | null, size: number): Range {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/i.exec(header?.trim() ?? "") ?? [];
  if (first === undefined || last === undefined) return NONE;
  if (first === "") return suffix(last, size);
  const start = Number(first);
  const end = last === "" ? Number.POSITIVE_INFINITY : Number(last);
  if (end < start) return NONE;
  return start < size ? { kind: "range", start, end: Math.min(end, size - 1) } : UNSATISFIABLE;
}

/** Whether to honor the range of a request: without `If-Range`, or when it names the current version exactly. */
export function ifRangeHolds(header: string | null, etag: string, lastModified?: number): boolean {
  if (header === null) return true;
  if (header.startsWith('"')) return header === etag;
  // A weak tag never matches; a date matches only the exact last modification.
  const date = httpDate(header);
  return date !== undefined && lastModified !== undefined && date / 1000 === Math.floor(lastModified / 1000);
}

/**
 * How Bun would apply the range of a request to a file that the server sends in full: Bun ignores spaces, reads only the
 * first of repeated headers, and compares a date with `Last-Modified`.
 */
export function rangeByBun(
  range: string | null,
  ifRange: string | null,
  etag: string,
): "never" | "by-last-modified" | "always" {
  const [first = ""] = range?.replaceAll(/[\t ]/g, "").split(/,(?=bytes=)/i) ?? [];
  if (parseRange(first, Number.POSITIVE_INFINITY).kind === "none") return "never";
  if (ifRange === null || ifRange === "" || ifRange.startsWith(etag)) return "always";
  return /^(?:W\/)?"/.test(ifRange) ? "never" : "by-last-modified";
}

/** The last bytes, or all bytes of a shorter file, which readers of archives rely on. */
function suffix(length: string, size: number): Range {
  if (length === "") return NONE;
  if (Number(length) === 0) return UNSATISFIABLE;
  // An empty file has no byte for a Content-Range to name.
  if (size === 0) return NONE;
  return { kind: "range", start: Math.max(0, size - Number(length)), end: size - 1 };
}
