// The documents that a channel offers: their names in URLs and their content types.

export type DocumentName =
  | "repodata.json"
  | "repodata.json.zst"
  | "repodata.json.bz2"
  | "repodata_shards.msgpack.zst"
  | "current_repodata.json"
  | "current_repodata.json.zst"
  | "run_exports.json"
  | "run_exports.json.zst"
  | "channeldata.json"
  | "rss.xml";

const OF_SECTION: ReadonlyMap<string, DocumentName> = new Map<string, DocumentName>([
  ["repodata.json", "repodata.json"],
  ["repodata.json.zst", "repodata.json.zst"],
  ["repodata.json.bz2", "repodata.json.bz2"],
  // The server applies no repodata patches, so both documents have the same bytes.
  ["repodata_from_packages.json", "repodata.json"],
  ["repodata_from_packages.json.zst", "repodata.json.zst"],
  ["repodata_shards.msgpack.zst", "repodata_shards.msgpack.zst"],
  ["current_repodata.json", "current_repodata.json"],
  ["current_repodata.json.zst", "current_repodata.json.zst"],
  ["run_exports.json", "run_exports.json"],
  ["run_exports.json.zst", "run_exports.json.zst"],
]);
const OF_CHANNEL: ReadonlyMap<string, DocumentName> = new Map<string, DocumentName>([
  ["channeldata.json", "channeldata.json"],
  ["rss.xml", "rss.xml"],
]);

/** Returns the document of a file name in a URL. */
export function documentNamed(file: string, scope: "section" | "channel"): DocumentName | undefined {
  return (scope === "section" ? OF_SECTION : OF_CHANNEL).get(file);
}

/** Throws when no document has this name. */
export function requireDocumentName(name: string): DocumentName {
  const known = OF_SECTION.get(name) ?? OF_CHANNEL.get(name);
  if (!known) throw new Error(`no document has the name ${name}`);
  return known;
}

export function contentTypeOf(name: DocumentName): string {
  if (name.endsWith(".zst")) return "application/zstd";
  if (name.endsWith(".bz2")) return "application/x-bzip2";
  return name.endsWith(".xml") ? "application/rss+xml" : "application/json";
}
