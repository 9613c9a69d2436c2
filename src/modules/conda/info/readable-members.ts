// The members without faults of a JSON object that is not strict JSON, for files that only describe a package.

import { isUtf8 } from "node:buffer";

import {
  emptyObject,
  parseStrictJson,
  StrictJsonError,
  type JsonObject,
  type StrictJsonLimits,
} from "../strict-json.ts";

/** What the decoder writes for invalid bytes; it keeps the quotes and brackets around them. */
const REPLACEMENT = "\ufffd";

/**
 * Leaves out each member that strict parsing refuses, and each key that is written twice. `{}` when the members cannot
 * be separated with certainty: not an object, a syntax error, or too many keys.
 */
export function readableMembers(bytes: Uint8Array, limits: StrictJsonLimits): JsonObject {
  const isExact = isUtf8(bytes);
  // Drops a byte order mark.
  const texts = membersIn(new TextDecoder().decode(bytes));
  if (texts === undefined || texts.length > (limits.maxKeys ?? Infinity)) return emptyObject();
  const members = new Map<string, unknown>();
  const seen = new Set<string>();
  for (const text of texts) {
    const key = keyOf(text, limits);
    const member = parsed(`{${text}}`, limits);
    if (member === "syntax") return emptyObject();
    if (key === undefined) continue;
    if (seen.has(key)) members.delete(key);
    else if (member !== "fault" && (isExact || !text.includes(REPLACEMENT))) members.set(key, member[key]);
    seen.add(key);
  }
  const object = emptyObject();
  for (const [key, value] of members) object[key] = value;
  return object;
}

function parsed(text: string, limits: StrictJsonLimits): JsonObject | "syntax" | "fault" {
  try {
    return Object(parseStrictJson(Buffer.from(text), limits));
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    return error.reason === "syntax" ? "syntax" : "fault";
  }
}

function keyOf(text: string, limits: StrictJsonLimits): string | undefined {
  const start = text.indexOf('"');
  const member = parsed(`{${text.slice(start, endOfString(text, start) + 1)}:null}`, limits);
  return typeof member === "string" ? undefined : Object.keys(member)[0];
}

/** The texts between the commas of the outermost object. */
function membersIn(text: string): string[] | undefined {
  const object = text.trim();
  if (!object.startsWith("{")) return undefined;
  const members: string[] = [];
  let depth = 0;
  let start = 1;
  for (let at = 0; at < object.length; at += 1) {
    switch (object.charAt(at)) {
      case '"':
        at = endOfString(object, at);
        break;
      case "{":
      case "[":
        depth += 1;
        break;
      case "}":
      case "]":
        depth -= 1;
        if (depth > 0) break;
        members.push(object.slice(start, at));
        return at === object.length - 1 ? withoutEmpty(members) : undefined;
      case ",":
        if (depth > 1) break;
        members.push(object.slice(start, at));
        start = at + 1;
        break;
    }
  }
  return undefined;
}

/** Undefined for a comma without a member beside it. */
function withoutEmpty(members: readonly string[]): string[] | undefined {
  const filled = members.filter((text) => text.trim() !== "");
  return filled.length === members.length || members.length === 1 ? filled : undefined;
}

function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at += 1) {
    if (text[at] === '"') return at;
    if (text[at] === "\\") at += 1;
  }
  return text.length;
}
