// Segments in index.db: the text of consecutive records of a document, each segment compressed on its own.

import type { Database as Connection, SQLQueryBindings } from "bun:sqlite";
import { crc32 } from "node:zlib";
import { bindingsOf, DerivedDamaged, SCOPE, type IndexScope, type ScopeBindings } from "./scope.ts";

/** `start`: the segment holds entries with keys greater than this. */
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

/** Segments whose start is in [from, until); without `until`, all from `from` on. */
export type KeyRange = { readonly from: string; readonly until: string | undefined };

/** Every read verifies the checksum. Errors: `DerivedDamaged`. */
export type DerivedSegments = {
  segments(scope: GroupScope): SegmentSummary[];
  /** The last segment that starts at or before the key: an entry with this key is in it, if there is one. */
  segmentAt(scope: GroupScope, key: string): SegmentRow | undefined;
  /** The segment after the one with this start. */
  segmentAfter(scope: GroupScope, start: string): SegmentRow | undefined;
  replaceSegments(scope: GroupScope, range: KeyRange, rows: readonly SegmentRow[]): void;
  /** The zstd blocks of a segment. */
  blocks(id: number): Uint8Array;
  /** The ids of the segments that have no bzip2 blocks yet. */
  withoutBzip2(scope: GroupScope): number[];
  /** The bzip2 blocks of a segment; undefined until they are built. */
  bzip2(id: number): Uint8Array | undefined;
  setBzip2(id: number, blocks: Uint8Array): void;
};

const GROUP = `${SCOPE} AND grp = $group`;
const IN_RANGE = "start >= $from AND start < $until";
/** Greater than every key: an optional upper bound in the SQL would make SQLite scan all rows that follow. */
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
      if (!row) throw new DerivedDamaged("the data of a segment is missing");
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
    throw new DerivedDamaged("a segment does not match its checksum");
  return { id, start, hash, size, window };
}

function checksumOf({ start, hash, size, window }: Omit<SegmentRow, "blocks">): number {
  return crc32(`${start}\n${hash} ${size} ${window}`);
}

function checked(bytes: Uint8Array, checksum: number): Uint8Array {
  if (crc32(bytes) !== checksum) throw new DerivedDamaged("the blocks of a segment do not match their checksum");
  return bytes;
}
