// The main database, on either engine.

import type { Clock } from "../modules/clock.ts";
import type { Reserve } from "./reserve.ts";
import type { WriteTurn } from "./sqlite/writer.ts";
import type { Reader, Transaction } from "./transaction.ts";
import type { UnitOptions } from "./unit.ts";

export type { Reader, Transaction } from "./transaction.ts";

/** Consistent snapshots, on a separate connection. */
export type Snapshots = {
  /** Runs `work` inside one read transaction, so that it reads a consistent snapshot. */
  snapshot<T>(work: (reader: Reader) => Promise<T>): Promise<T>;
};

/** Equal versions mean equal content. */
export type Version = string | number;

export type Database = {
  readonly read: Reader;
  /**
   * Changes after every commit of any process, except commits of only `isUnseen` units. A promise for an engine that
   * must ask its server; the question is asked after this call, so it sees what was acknowledged before.
   * Errors: `unavailable`.
   */
  version(): Version | Promise<Version>;
  /**
   * Runs `work` inside a write transaction and resolves when it is durable. Units that wait at the same time share a
   * commit, each in a savepoint; a failing unit rolls back only itself. `work` must be short: all writers wait for it.
   * Errors: what `work` throws; `unavailable` when another process keeps the lock; `no-space` when the disk is full.
   */
  transact<T>(work: (tx: Transaction) => Promise<T>, options?: UnitOptions): Promise<T>;
  /** Asks the server of the database. Errors: `unavailable`, when it does not answer or does not store changes now. */
  requireReady(): Promise<void>;
  /** Bytes of the write-ahead log beside the database; 0 for an engine without such a file. */
  logBytes(): number;
  /** Truncates a log that grew during a long read; does nothing while a read is still in progress. */
  shrinkLog(): void;
  /** The problems that the engine reports (I-1); empty when there are none. */
  integrityProblems(): Promise<string[]>;
  /** Frees unused pages where that is worthwhile; returns the bytes freed. Call it only while no other work runs. */
  shrink(): Promise<number>;
  close(): Promise<void>;
};

/** Where the database is. */
export type DatabaseSource =
  | { readonly engine: "sqlite"; readonly path: string }
  | { readonly engine: "postgres"; readonly url: string };

export type DatabaseOptions = {
  readonly clock: Clock;
  /** False refuses a missing file instead of creating it. */
  readonly create: boolean;
  readonly failpoint?: ((name: string) => void) | undefined;
  /** Throws when a commit would be lost: called before each commit, and again before it is acknowledged. */
  readonly requireFiles?: (() => void) | undefined;
  /** Called when the state of the disk is unknown (an fsync of the log failed): the process must end. */
  readonly onFatal?: ((error: unknown) => void) | undefined;
  /** Disk space for changes that free space, when the disk is full. */
  readonly reserve?: Reserve | undefined;
  /** True lets every change use the reserve, for the commands of the operator. */
  readonly evenIfFull?: boolean | undefined;
  /** See `WriterOptions`. */
  readonly writeTurn?: WriteTurn | undefined;
};
