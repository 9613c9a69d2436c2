// Which shards were named by a catalogue once and are not any more: clients that keep a catalogue still ask for them.

import type { Database as Connection } from "bun:sqlite";

/** The layout whose entries end in the hash of a shard. */
export const SHARDS_LAYOUT = "shards";

export type DerivedShards = {
  /** When this derived data was begun, in ms: of what was named before that, nothing is known. */
  readonly begun: number;
  /** Notes that a shard is about to be named no more. */
  retire(channelId: number, hash: string): void;
  /** Since when the collector knows of it, null before that; undefined when none of these catalogues ever named it. */
  retiredSince(channelId: number, hash: string): number | null | undefined;
  /** Has the time of those begin that the collector did not know of. */
  ageRetired(now: number): void;
  /** Forgets those known of since `at` or longer. */
  forgetRetired(at: number): void;
};

export const SHARDS_SCHEMA = `
CREATE TABLE IF NOT EXISTS retired (
  channel_id INTEGER, hash TEXT, since INTEGER, PRIMARY KEY (channel_id, hash)) WITHOUT ROWID;
`;

/** Retires what entries name that are about to be removed; `where` says which. */
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
