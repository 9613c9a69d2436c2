// Identifies a document of a channel, its form, and the folder of its files.

import { PLAIN_VIEW, WHOLE_CHANNEL, type IndexScope } from "../../models/index/scope.ts";

export { PLAIN_VIEW, WHOLE_CHANNEL };

/** The title and URL with which documents present the channel. */
export type ChannelAddress = { readonly title: string; readonly url: string };

/** One view of a channel. */
export type ChannelView = Pick<IndexScope, "channelId" | "view"> & { readonly address: ChannelAddress };

/** A document of a section, or of the entire channel. */
export type DocumentKey = Pick<IndexScope, "section"> & { readonly name: string };

/** How the text is encoded: plain, as one zstd frame, or as one bzip2 stream. */
export type Form = "json" | "zst" | "bz2";

/** The folder of a document's files. */
export function folderOf(
  { channelId, view }: Pick<IndexScope, "channelId" | "view">,
  { section, name }: DocumentKey,
): string {
  return `${channelId}/${section === WHOLE_CHANNEL ? "channel" : section}/${view}.${name}`;
}

/** The form of a document, by its name. */
export function formOf(name: string): Form {
  if (name.endsWith(".zst")) return "zst";
  return name.endsWith(".bz2") ? "bz2" : "json";
}
