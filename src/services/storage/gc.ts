// Frees the space of unused files, while the server and its backups run.

import { AppError } from "../../errors.ts";
import { DerivedBusy } from "../../models/index/scope.ts";
import { dropEndedLeases } from "../../models/lease.ts";
import type { Reserve } from "../../models/reserve.ts";
import {
  COLLECTED_KINDS,
  type Collected,
  type CollectedKind,
  type Collecting,
  type CollectingShared,
} from "./collect.ts";
import { collectAudit } from "./collect-audit.ts";
import { collectBlobs, Leased } from "./collect-blobs.ts";
import { collectDocuments, collectTemporary } from "./collect-files.ts";
import { collectShards } from "./collect-shards.ts";
import { leaseCollector, LeaseLost, type CollectorLease } from "./collector-lease.ts";

export type GcTotal = { readonly kind: CollectedKind; readonly count: number; readonly bytes: number };
export type GcSummary = {
  readonly totals: readonly GcTotal[];
  readonly bytes: number;
  /** Bytes by which the database has shrunk. */
  readonly databaseBytes: number;
  /** Deleted events of the audit trail. */
  readonly auditEvents: number;
  /** The parts left for the next run, and why, in words. */
  readonly left: readonly string[];
};

/** Errors: `unavailable`, `no-space`. Files deleted before the error stay deleted. */
export type Gc = (options: {
  readonly graceMs: number;
  /** ms for which events of the audit trail are retained; undefined retains all. */
  readonly auditMs?: number | undefined;
  /** Only reports what would be deleted. */
  readonly dryRun?: boolean | undefined;
  readonly onCollected?: ((collected: Collected) => void) | undefined;
  readonly onProgress?: Collecting["onProgress"] | undefined;
}) => Promise<GcSummary>;

export type GcParts = Pick<Collecting, "database" | "blobs" | "clock" | "folder" | "codec"> & {
  readonly reserve: Reserve;
  readonly isShared: boolean;
  readonly failpoint?: ((name: string) => void) | undefined;
};

export function createGc(parts: GcParts): Gc {
  return async ({ graceMs, auditMs, dryRun = false, onCollected, onProgress }) => {
    const tally = createTally();
    const work: Collecting = {
      ...parts,
      graceMs,
      auditMs,
      dryRun,
      onCollected: (collected) => {
        tally.add(collected);
        onCollected?.(collected);
      },
      onProgress: onProgress ?? (() => undefined),
      failpoint: parts.failpoint ?? (() => undefined),
    };
    const left: string[] = [];
    // First the parts that do not change the database: on a full disk they free the space for the others.
    await collectTemporary(work);
    await collectDocuments(work);
    const lease = dryRun ? DRY : await leaseCollector(parts);
    if (!lease) {
      left.push("packages and shards, because another collector is running");
      return { ...tally.summary(), databaseBytes: 0, auditEvents: 0, left };
    }
    try {
      const alone = await collectAlone({ ...work, isShared: parts.isShared, lease }, parts.reserve, left);
      return { ...tally.summary(), ...alone, left };
    } finally {
      await lease.release();
    }
  };
}

const DRY: CollectorLease = { renew: async () => undefined, release: async () => undefined };

async function collectAlone(
  work: CollectingShared,
  reserve: Reserve,
  left: string[],
): Promise<Pick<GcSummary, "databaseBytes" | "auditEvents">> {
  let databaseBytes = 0;
  let auditEvents = 0;
  const collect = async (): Promise<void> => {
    await tolerate(
      (error) => error instanceof Leased,
      () => collectBlobs(work),
      () => left.push("packages, because a backup is running"),
    );
    await tolerate(
      (error) => error instanceof DerivedBusy || (error instanceof AppError && error.code === "unavailable"),
      () => collectShards(work),
      () => left.push("shards, because index.db is busy"),
    );
    auditEvents = await collectAudit(work);
    if (!work.dryRun) databaseBytes = await tidyDatabase(work, reserve);
  };
  await tolerate(
    (error) => error instanceof LeaseLost,
    collect,
    () => left.push("the rest, because this collector was suspended for too long"),
  );
  return { databaseBytes, auditEvents };
}

async function tidyDatabase({ database, clock }: Collecting, reserve: Reserve): Promise<number> {
  await database.transact((tx) => dropEndedLeases(tx, clock), { evenIfFull: true });
  const bytes = await database.shrink();
  // The log keeps the size that it grew to, which a full disk lacks.
  database.shrinkLog();
  reserve.refill();
  return bytes;
}

async function tolerate(
  isExpected: (error: unknown) => boolean,
  work: () => Promise<void>,
  onError: () => void,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isExpected(error)) throw error;
    onError();
  }
}

function createTally(): { add(collected: Collected): void; summary(): Pick<GcSummary, "totals" | "bytes"> } {
  const totals = new Map<CollectedKind, { count: number; bytes: number }>();
  return {
    add: ({ kind, bytes }) => {
      const total = totals.get(kind) ?? { count: 0, bytes: 0 };
      totals.set(kind, { count: total.count + 1, bytes: total.bytes + bytes });
    },
    summary: () => {
      const rows = COLLECTED_KINDS.map((kind) => ({ kind, ...(totals.get(kind) ?? { count: 0, bytes: 0 }) }));
      return { totals: rows, bytes: rows.reduce((sum, { bytes }) => sum + bytes, 0) };
    },
  };
}
