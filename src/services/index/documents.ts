// Which document of a channel is meant, in which form it is, and where its files lie.

/** The channel as people are shown it. */
export type ChannelAddress = { readonly title: string; readonly url: string };

/** The part of a channel that documents are made for: today the whole of it. */
export type View = { readonly channelId: number | undefined; readonly address: ChannelAddress };

/** A document of a section, or of the channel as a whole when `section` is undefined. */
export type DocumentKey = { readonly section: string | undefined; readonly name: string };

/** One text as it is, as one zstd frame, or as one bzip2 stream. */
export type Form = "json" | "zst" | "bz2";

/** The folder of its files. */
export function folderOf(channelId: number, { section, name }: DocumentKey): string {
  return `${channelId}/${section || "channel"}/${name}`;
}

/** In which form a document's text is. */
export function formOf(name: string): Form {
  if (name.endsWith(".zst")) return "zst";
  return name.endsWith(".bz2") ? "bz2" : "json";
}
