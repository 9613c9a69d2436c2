// Entries in index.db: one small value per package name, such as its line of `channeldata.json`.

import type { Database as Connection, SQLQueryBindings } from "bun:sqlite";
import { crc32 } from "node:zlib";
import { createLru } from "../../modules/lru.ts";
import { bindingsOf, DerivedDamaged, SCOPE, scopeKey, type IndexScope } from "./scope.ts";

export type EntryRow = { readonly name: string; readonly value: Uint8Array };

export type DerivedEntries = {
  /** All entries, ordered by name and cached in memory. Errors: `DerivedDamaged`. */
  entries(scope: IndexScope): readonly EntryRow[];
  /** The same entries, read page by page, so that only few are in memory at a time. */
  eachEntry(scope: IndexScope): IteratorObject<EntryRow>;
  /** The value of one entry. Errors: `DerivedDamaged`. */
  entry(scope: IndexScope, name: string): Uint8Array | undefined;
  countEntries(scope: IndexScope): number;
  setEntry(scope: IndexScope, name: string, value: Uint8Array | undefined): void;
  /** The entry, in any view and section, whose value ends with these 32 bytes. */
  entryEndingIn(layout: Pick<IndexScope, "channelId" | "layout">, end: Uint8Array): NamedEntry | undefined;
};

type NamedEntry = Pick<IndexScope, "view" | "section"> & { readonly name: string };

/** Rows cached in memory: a large shard index is read far more often than it changes, and then in few names. */
const CACHED_ROWS = 200_000;
const PAGE = 200;
const PAGE_BYTES = 1024 ** 2;

export type EntriesParts = {
  readonly db: Connection;
  /** Changes when another connection has written. */
  readonly version: () => number | undefined;
};

/** `forget` clears the cache: call it after a rollback or a write that bypasses `setEntry`. */
export function createEntries({ db, version }: EntriesParts): DerivedEntries & { forget(): void } {
  const cache = createLru<string, EntryRow[]>({
    maxEntries: 1000,
    maxBytes: CACHED_ROWS,
    sizeOf: (rows) => rows.length,
  });
  let cachedVersion: number | undefined;
  const all = db.query<StoredRow, SQLQueryBindings>(
    `SELECT name, checksum, value FROM entry WHERE ${SCOPE} ORDER BY name`,
  );
  const sizes = db.query<{ name: string; size: number }, SQLQueryBindings>(
    `SELECT name, length(value) AS size FROM entry WHERE ${SCOPE} AND name > $after ORDER BY name LIMIT ${PAGE}`,
  );
  const page = db.query<StoredRow, SQLQueryBindings>(
    `SELECT name, checksum, value FROM entry WHERE ${SCOPE} AND name > $after AND name <= $through ORDER BY name`,
  );
  const one = db.query<StoredRow, SQLQueryBindings>(
    `SELECT name, checksum, value FROM entry WHERE ${SCOPE} AND name = $name`,
  );
  const count = db.query<{ entries: number }, SQLQueryBindings>(`SELECT count(*) AS entries FROM entry WHERE ${SCOPE}`);
  const put = db.query(
    "INSERT OR REPLACE INTO entry VALUES ($channelId, $view, $section, $layout, $name, $checksum, $value)",
  );
  const drop = db.query(`DELETE FROM entry WHERE ${SCOPE} AND name = $name`);
  const ending = db.query<NamedEntry, SQLQueryBindings>(
    "SELECT view, section, name FROM entry WHERE channel_id = $channelId AND layout = $layout AND substr(value, -32) = $end",
  );
  return {
    entries: (scope) => {
      const current = version();
      if (current !== cachedVersion) cache.clear();
      cachedVersion = current;
      let rows = cache.get(scopeKey(scope));
      if (!rows) {
        rows = all.all(bindingsOf(scope)).map(checked);
        cache.set(scopeKey(scope), rows);
      }
      return rows;
    },
    eachEntry: function* (scope) {
      let after = "";
      for (;;) {
        const through = pageEnd(sizes.all({ ...bindingsOf(scope), after }));
        if (through === undefined) return;
        for (const row of page.all({ ...bindingsOf(scope), after, through })) yield checked(row);
        after = through;
      }
    },
    entry: (scope, name) => {
      const row = one.get({ ...bindingsOf(scope), name });
      return row ? checked(row).value : undefined;
    },
    countEntries: (scope) => count.get(bindingsOf(scope))?.entries ?? 0,
    forget: () => cache.clear(),
    setEntry: (scope, name, value) => {
      const rows = cache.get(scopeKey(scope));
      if (rows) putRow(rows, name, value);
      if (value === undefined) drop.run({ ...bindingsOf(scope), name });
      else put.run({ ...bindingsOf(scope), name, value, checksum: checksumOf(name, value) });
    },
    entryEndingIn: ({ channelId, layout }, end) => ending.get({ channelId, layout, end }) ?? undefined,
  };
}

/** The last name that fits into a page; the first name always fits, whatever its size. */
function pageEnd(sizes: readonly { readonly name: string; readonly size: number }[]): string | undefined {
  let bytes = 0;
  const beyond = sizes.findIndex(({ size }) => (bytes += size) > PAGE_BYTES);
  return sizes[beyond === -1 ? sizes.length - 1 : Math.max(0, beyond - 1)]?.name;
}

function putRow(rows: EntryRow[], name: string, value: Uint8Array | undefined): void {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((rows[middle]?.name ?? "") < name) low = middle + 1;
    else high = middle;
  }
  const replaced = rows[low]?.name === name ? 1 : 0;
  rows.splice(low, replaced, ...(value === undefined ? [] : [{ name, value }]));
}

type StoredRow = EntryRow & { readonly checksum: number };

function checked({ name, checksum, value }: StoredRow): EntryRow {
  if (checksumOf(name, value) !== checksum) throw new DerivedDamaged("an entry does not match its checksum");
  return { name, value };
}

function checksumOf(name: string, value: Uint8Array): number {
  return crc32(value, crc32(name));
}
