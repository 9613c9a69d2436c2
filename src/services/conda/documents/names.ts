// Every document of a channel that is offered: its name in URLs, and its type on the wire.

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
  // Nothing is patched yet, so what the packages say and what the channel says are the same bytes.
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

/** The document that a file name in a URL asks for. */
export function documentNamed(file: string, scope: "section" | "channel"): DocumentName | undefined {
  return (scope === "section" ? OF_SECTION : OF_CHANNEL).get(file);
}

/** Errors: there is no document of this name. */
export function requireDocumentName(name: string): DocumentName {
  const known = OF_SECTION.get(name) ?? OF_CHANNEL.get(name);
  if (!known) throw new Error(`no document is called ${name}`);
  return known;
}

export function contentTypeOf(name: DocumentName): string {
  if (name.endsWith(".zst")) return "application/zstd";
  if (name.endsWith(".bz2")) return "application/x-bzip2";
  return name.endsWith(".xml") ? "application/rss+xml" : "application/json";
}
