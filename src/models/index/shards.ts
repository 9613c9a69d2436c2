// Retired shards: a shard index named them before, but not any more. Clients with a cached index still request them.

import type { Database as Connection } from "bun:sqlite";

/** The layout whose entry values end with the hash of a shard. */
export const SHARDS_LAYOUT = "shards";

export type DerivedShards = {
  /** ms UTC when this index.db was created: it does not know which shards were named before. */
  readonly begun: number;
  /** Marks a shard as retired, just before the shard index stops naming it. */
  retire(channelId: number, hash: string): void;
  /** ms UTC when the collector first saw the retired shard, null before that; undefined when it is not retired. */
  retiredSince(channelId: number, hash: string): number | null | undefined;
  /** Starts the retirement time of the shards that the collector has not seen before. */
  ageRetired(now: number): void;
  /** Deletes the marks of shards that the collector first saw at `at` or earlier. */
  forgetRetired(at: number): void;
};

export const SHARDS_SCHEMA = `
CREATE TABLE IF NOT EXISTS retired (
  channel_id INTEGER, hash TEXT, since INTEGER, PRIMARY KEY (channel_id, hash)) WITHOUT ROWID;
`;

/** SQL that retires the shards named by entries that are about to be deleted; `where` selects the entries. */
export function retireEntries(schema: string, where: string): string {
  return `INSERT OR IGNORE INTO ${schema}.retired SELECT channel_id, lower(hex(substr(value, -32))), NULL
    FROM ${schema}.entry WHERE layout = '${SHARDS_LAYOUT}' AND ${where}`;
}

export function createDerivedShards(db: Connection): DerivedShards {
  const put = db.query("INSERT OR REPLACE INTO retired VALUES ($channelId, $hash, NULL)");
  const age = db.query("UPDATE retired SET since = $now WHERE since IS NULL");
  const find = db.query<{ since: number | null }, { channelId: number; hash: string }>(
    "SELECT since FROM retired WHERE channel_id = $channelId AND hash = $hash",
  );
  const forget = db.query("DELETE FROM retired WHERE since <= $at");
  return {
    begun: db.query<{ begun: number }, []>("SELECT begun FROM codec").get()?.begun ?? 0,
    retire: (channelId, hash) => void put.run({ channelId, hash }),
    retiredSince: (channelId, hash) => find.get({ channelId, hash })?.since,
    ageRetired: (now) => void age.run({ now }),
    forgetRetired: (at) => void forget.run({ at }),
  };
}
