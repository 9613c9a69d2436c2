// Reads the restrictions of a stored token or role. Unreadable values deny access.

import { z } from "zod";
import type { AccessTokenRow } from "../models/access-token.ts";
import { SCOPES, type TokenLimits } from "./actor.ts";

/** Patterns for names of channels or packages. */
export const patternList = z.array(z.string().min(1).max(256)).max(64);
const scopeList = z.array(z.enum(SCOPES)).max(SCOPES.length);

export function tokenLimits(row: AccessTokenRow): TokenLimits {
  const scopes = scopeList.safeParse(parsed(row.scopes));
  const channels = patternList.safeParse(parsed(row.channels));
  const packages = patternList.safeParse(parsed(row.packages));
  return {
    id: row.id,
    name: row.name,
    scopes: scopes.success ? scopes.data : ["public-only"],
    channels: channels.success ? channels.data : ["(unreadable)"],
    packages: packages.success ? packages.data : ["(unreadable)"],
    expires: row.expires,
  };
}

/** The columns that cannot be read, and therefore deny access. */
export function unreadableLimits(row: Pick<AccessTokenRow, "scopes" | "channels" | "packages">): string[] {
  return [...(scopeList.safeParse(parsed(row.scopes)).success ? [] : ["scopes"]), ...unreadablePatterns(row)];
}

/** The same, for the patterns of a team. */
export function unreadablePatterns(row: Pick<AccessTokenRow, "channels" | "packages">): string[] {
  const columns = ["channels", "packages"] as const;
  return columns.filter((column) => !patternList.safeParse(parsed(row[column])).success);
}

const EVERYTHING = ["*"];

/** The patterns of a team or of a role. Unreadable ones match nothing. */
export function storedPatterns(text: string): readonly string[] {
  if (text === '["*"]') return EVERYTHING;
  const patterns = patternList.safeParse(parsed(text));
  return patterns.success ? patterns.data : [];
}

/** For the end of a sentence about a role; empty for a role for all packages. */
export function limitText(packages: readonly string[]): string {
  return packages.includes("*") ? "" : `, for packages named ${packages.join(" or ")}`;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
