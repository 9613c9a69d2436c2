// Patterns for channel labels, with which a token is limited to channels.

import { isOwnerName } from "../modules/owner-name.ts";
import { matchesPattern } from "../modules/pattern.ts";
import { DEFAULT_TYPE } from "./channel-ref.ts";
import type { PackageType, PackageTypes } from "./package-type.ts";

const HELP = "write OWNER/CHANNEL, OWNER/- for the unnamed channel, or OWNER/* for all channels of an owner";

/** Why no channel can ever have a label that the pattern matches; undefined when one can. See `channelLabel()`. */
export function labelPatternProblem(pattern: string, types: PackageTypes): string | undefined {
  if (!/^[a-z0-9._:/*?-]+$/.test(pattern)) return `names contain only a-z, 0-9, dots, hyphens and underscores; ${HELP}`;
  const slash = pattern.indexOf("/");
  if (slash < 0 && !isWild(pattern)) return HELP;
  const head = slash < 0 ? pattern : pattern.slice(0, slash);
  const colon = head.indexOf(":");
  const owner = head.slice(colon + 1);
  const candidates = typesOf(head, colon, types);
  if (candidates.length === 0) return typeHelp(types);
  // A wildcard can stand for the slash as well.
  if (slash < 0) return undefined;
  const name = pattern.slice(slash + 1);
  if (!isWild(owner) && !candidates.some((type) => canOwn(owner, type))) return `no owner can be named "${owner}"`;
  if (isWild(name)) return undefined;
  if (name === "") return HELP;
  const problems = candidates.map((type) => type.channelNameProblem(name === "-" ? "" : name));
  return problems.includes(undefined) ? undefined : problems[0];
}

/** The types whose labels can begin as the pattern does: the label of the default type does not contain the type. */
function typesOf(head: string, colon: number, { all }: PackageTypes): PackageType[] {
  if (colon < 0) return all.filter((type) => isDefault(type) || isWild(head));
  return all.filter((type) => !isDefault(type) && matchesPattern(head.slice(0, colon), type.name));
}

function typeHelp({ all }: PackageTypes): string {
  const others = all.map(({ name }) => name).filter((name) => name !== DEFAULT_TYPE);
  return `before a colon stands a package type (${others.join(", ")}), and none for ${DEFAULT_TYPE}`;
}

function isDefault({ name }: PackageType): boolean {
  return name === DEFAULT_TYPE;
}

function canOwn(name: string, type: PackageType): boolean {
  return isOwnerName(name) && !type.isReservedOwner(name);
}

function isWild(pattern: string): boolean {
  return /[*?]/.test(pattern);
}
