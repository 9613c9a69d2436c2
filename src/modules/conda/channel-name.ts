// Valid channel names and reserved owner names: no name can be mistaken for another part of a URL.
// https://conda.org/learn/ceps/cep-0026

import { isKnownSubdir } from "./subdir.ts";

const MAX_CHANNEL = 256;
const MAX_CHANNEL_PART = 128;
const CHANNEL_PART = /^[a-z0-9_][a-z0-9_.-]*$/;

const FILE_ENDINGS = [".json", ".zst", ".bz2", ".conda", ".xml", ".ico", ".txt"];
const CHANNEL_WORDS = ["t", "label"];
const OWNER_WORDS = ["t", "get", "conda"];

/** Says why a channel name (parts joined by slashes, `""` for the unnamed channel) is invalid; undefined when valid. */
export function channelNameProblem(name: string, extraSubdirs: readonly string[] = []): string | undefined {
  if (name === "") return undefined;
  if (name.length > MAX_CHANNEL) return `a channel name has at most ${MAX_CHANNEL} characters`;
  for (const part of name.split("/")) {
    if (part === "") return "a channel name must not start or end with a slash, or have two in a row";
    if (part.length > MAX_CHANNEL_PART) return `each part of a channel name has at most ${MAX_CHANNEL_PART} characters`;
    if (!CHANNEL_PART.test(part)) {
      return "each part of a channel name starts with a-z, 0-9 or _ and contains only these, dots and hyphens";
    }
    if (isReservedName(part, "channel", extraSubdirs))
      return `"${part}" is reserved and cannot be part of a channel name`;
  }
  return undefined;
}

/** Whether the text has another meaning at that position of a URL. */
export function isReservedName(text: string, role: "owner" | "channel", extraSubdirs: readonly string[] = []): boolean {
  const words = role === "owner" ? OWNER_WORDS : CHANNEL_WORDS;
  return (
    words.includes(text) || isKnownSubdir(text, extraSubdirs) || FILE_ENDINGS.some((ending) => text.endsWith(ending))
  );
}
