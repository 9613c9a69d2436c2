// Which document of a channel is meant, in which form it is, and where its files lie.

import { PLAIN_VIEW, WHOLE_CHANNEL, type IndexScope } from "../../models/index/scope.ts";

export { PLAIN_VIEW, WHOLE_CHANNEL };

/** The channel as people are shown it. */
export type ChannelAddress = { readonly title: string; readonly url: string };

/** What a view shows of a channel. */
export type ChannelView = Pick<IndexScope, "channelId" | "view"> & { readonly address: ChannelAddress };

/** A document of a section, or of the channel as a whole. */
export type DocumentKey = Pick<IndexScope, "section"> & { readonly name: string };

/** One text as it is, as one zstd frame, or as one bzip2 stream. */
export type Form = "json" | "zst" | "bz2";

/** The folder of its files. */
export function folderOf(
  { channelId, view }: Pick<IndexScope, "channelId" | "view">,
  { section, name }: DocumentKey,
): string {
  return `${channelId}/${section === WHOLE_CHANNEL ? "channel" : section}/${view}.${name}`;
}

/** In which form a document's text is. */
export function formOf(name: string): Form {
  if (name.endsWith(".zst")) return "zst";
  return name.endsWith(".bz2") ? "bz2" : "json";
}
