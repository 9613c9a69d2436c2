// Segments in index.db: stretches of documents, each compressed alone.

import type { Database as Connection, SQLQueryBindings } from "bun:sqlite";
import { crc32 } from "node:zlib";
import { bindingsOf, DerivedDamaged, SCOPE, type IndexScope, type ScopeBindings } from "./scope.ts";

/** `start` is the key after which it begins. */
export type SegmentRow = {
  readonly start: string;
  /** The sha256 of the text. */
  readonly hash: string;
  /** Bytes of the text. */
  readonly size: number;
  readonly window: number;
  readonly blocks: Uint8Array;
};
export type SegmentSummary = Omit<SegmentRow, "blocks"> & { readonly id: number };
export type GroupScope = IndexScope & { readonly group: string };

/** Starts whose key lies in [from, until); without `until`, to the end. */
export type KeyRange = { readonly from: string; readonly until: string | undefined };

/** What is read is checked. Errors: `DerivedDamaged`. */
export type DerivedSegments = {
  segments(scope: GroupScope): SegmentSummary[];
  /** The last that begins at the key or before: an entry with this key stands in it, if in any. */
  segmentAt(scope: GroupScope, key: string): SegmentRow | undefined;
  /** The next after the one that begins there. */
  segmentAfter(scope: GroupScope, start: string): SegmentRow | undefined;
  replaceSegments(scope: GroupScope, range: KeyRange, rows: readonly SegmentRow[]): void;
  /** The blocks of a segment. */
  blocks(id: number): Uint8Array;
  /** The segments whose blocks of bzip2 has not been made yet. */
  withoutBzip2(scope: GroupScope): number[];
  /** The blocks of bzip2 that holds a segment, once it has been made. */
  bzip2(id: number): Uint8Array | undefined;
  setBzip2(id: number, blocks: Uint8Array): void;
};

const GROUP = `${SCOPE} AND grp = $group`;
const IN_RANGE = "start >= $from AND start < $until";
/** Above every key: a condition without an end would look at all that follows. */
const BEYOND_ALL = "~";
const SUMMARY = "id, start, hash, size, window, segment.checksum AS checksum";

type SummaryRow = {
  id: number;
  start: string;
  hash: string;
  size: number;
  window: number;
  checksum: number;
};
type DataRow = { blocks: Uint8Array; blocksChecksum: number };

export function createSegments(db: Connection, transact: (work: () => void) => void): DerivedSegments {
  return { ...segmentQueries(db), ...segmentWrites(db), ...dataQueries(db, transact) };
}

function segmentQueries(db: Connection): Pick<DerivedSegments, "segments" | "segmentAt" | "segmentAfter"> {
  const all = db.query<SummaryRow, SQLQueryBindings>(`SELECT ${SUMMARY} FROM segment WHERE ${GROUP} ORDER BY start`);
  const one = (comparison: string, order: string) =>
    db.query<SummaryRow & DataRow, SQLQueryBindings>(
      `SELECT ${SUMMARY}, blocks, data.checksum AS blocksChecksum FROM segment JOIN segment_data data USING (id)
       WHERE ${GROUP} AND start ${comparison} $key ORDER BY start ${order} LIMIT 1`,
    );
  const [at, after] = [one("<=", "DESC"), one(">", "ASC")];
  const toRow = (row: (SummaryRow & DataRow) | null): SegmentRow | undefined =>
    row ? { ...toSummary(row), blocks: checked(row.blocks, row.blocksChecksum) } : undefined;
  return {
    segments: (scope) => all.all(groupOf(scope)).map(toSummary),
    segmentAt: (scope, key) => toRow(at.get({ ...groupOf(scope), key })),
    segmentAfter: (scope, start) => toRow(after.get({ ...groupOf(scope), key: start })),
  };
}

function segmentWrites(db: Connection): Pick<DerivedSegments, "replaceSegments"> {
  const dropData = db.query(
    `DELETE FROM segment_data WHERE id IN (SELECT id FROM segment WHERE ${GROUP} AND ${IN_RANGE})`,
  );
  const drop = db.query(`DELETE FROM segment WHERE ${GROUP} AND ${IN_RANGE}`);
  const add = db.query<{ id: number }, SQLQueryBindings>(
    `INSERT INTO segment (channel_id, view, section, layout, grp, start, hash, size, window, checksum)
     VALUES ($channelId, $view, $section, $layout, $group, $start, $hash, $size, $window, $checksum) RETURNING id`,
  );
  const addData = db.query("INSERT INTO segment_data (id, checksum, blocks) VALUES ($id, $checksum, $blocks)");
  return {
    replaceSegments: (scope, range, rows) => {
      const values = groupOf(scope);
      const span = { from: range.from, until: range.until ?? BEYOND_ALL };
      dropData.run({ ...values, ...span });
      drop.run({ ...values, ...span });
      for (const { start, hash, size, window, blocks } of rows) {
        const summary = { start, hash, size, window };
        const id = add.get({ ...values, ...summary, checksum: checksumOf(summary) })?.id ?? 0;
        addData.run({ id, checksum: crc32(blocks), blocks });
      }
    },
  };
}

function dataQueries(
  db: Connection,
  transact: (work: () => void) => void,
): Pick<DerivedSegments, "blocks" | "withoutBzip2" | "bzip2" | "setBzip2"> {
  const find = db.query<DataRow, [number]>("SELECT blocks, checksum AS blocksChecksum FROM segment_data WHERE id = ?");
  const findBzip2 = db.query<{ bzip2: Uint8Array | null; checksum: number }, [number]>(
    "SELECT bzip2, bzip2_checksum AS checksum FROM segment_data WHERE id = ?",
  );
  const without = db.query<{ id: number }, SQLQueryBindings>(
    `SELECT id FROM segment JOIN segment_data USING (id) WHERE ${GROUP} AND bzip2 IS NULL ORDER BY start`,
  );
  const put = db.query("UPDATE segment_data SET bzip2 = $blocks, bzip2_checksum = $checksum WHERE id = $id");
  return {
    blocks: (id) => {
      const row = find.get(id);
      if (!row) throw new DerivedDamaged("a segment has gone");
      return checked(row.blocks, row.blocksChecksum);
    },
    withoutBzip2: (scope) => without.all(groupOf(scope)).map(({ id }) => id),
    bzip2: (id) => {
      const row = findBzip2.get(id);
      return row?.bzip2 ? checked(row.bzip2, row.checksum) : undefined;
    },
    setBzip2: (id, blocks) => transact(() => void put.run({ id, blocks, checksum: crc32(blocks) })),
  };
}

function groupOf(scope: GroupScope): ScopeBindings & { group: string } {
  return { ...bindingsOf(scope), group: scope.group };
}

function toSummary({ id, start, hash, size, window, checksum }: SummaryRow): SegmentSummary {
  if (checksumOf({ start, hash, size, window }) !== checksum)
    throw new DerivedDamaged("a segment is not what was written");
  return { id, start, hash, size, window };
}

function checksumOf({ start, hash, size, window }: Omit<SegmentRow, "blocks">): number {
  return crc32(`${start}\n${hash} ${size} ${window}`);
}

function checked(bytes: Uint8Array, checksum: number): Uint8Array {
  if (crc32(bytes) !== checksum) throw new DerivedDamaged("the bytes of a segment are not what was written");
  return bytes;
}
