// Server health: the data folder is in place, the database and the storage answer, and the disk accepts writes.

import { AppError, unavailable } from "../errors.ts";
import type { Events } from "../events.ts";
import { isDatabaseDamaged, isDatabaseDiskFailure, toAppError } from "../models/database-errors.ts";
import type { Database } from "../models/database.ts";
import type { FolderGuard } from "../models/folder-guard.ts";
import { findOwner } from "../models/owner.ts";
import type { Clock } from "../modules/clock.ts";
import {
  faultKind,
  isDiskFailure,
  isDiskRefusal,
  isSyncFailure,
  toDiskError,
  type DiskFault,
} from "../modules/storage/disk-errors.ts";
import type { BlobStore } from "../modules/storage/blob-store.ts";
import type { DiskProbe } from "../modules/storage/disk-probe.ts";
import { createRemoteParts, REMOTE_FRESH_MS, type RemotePart } from "./remote-parts.ts";
import { createTroubles, messageOf, type NotReady, type Troubles } from "./troubles.ts";

export type Health = {
  /**
   * Why the server is not ready, that is, cannot answer reads and store changes; empty when it is. A lack of space for
   * uploads alone does not count.
   */
  problems(): Promise<NotReady[]>;
  /** Errors: `unavailable` when the data folder is not the one that was opened. */
  requireFolder(): void;
  /** Result of the last check, at most a second old, for frequent calls. */
  readonly isFolderInPlace: boolean;
  /** Translates a failure for the client; trouble with the database or disk that it shows is recorded at once. */
  explain(error: unknown): unknown;
  /** Checks periodically, so that trouble is detected without requests. */
  watch(): { stop(): void };
};

export type HealthParts = {
  readonly database: Database;
  readonly databasePath: string;
  readonly guard: FolderGuard;
  readonly blobs: Pick<BlobStore, "requireReady">;
  readonly disk: DiskProbe;
  /** Bytes that uploads must leave free. */
  readonly reserve: number;
  readonly events: Events;
  readonly clock: Clock;
};

/** Sentences for everybody. The reasons of the log are not: they contain paths. */
const DETAILS: Readonly<Record<"folder" | "database" | "unreadable" | "unsynced" | DiskFault["kind"], string>> = {
  folder: "The data folder was moved or replaced under the running server: put it back, or restart the server.",
  database: "The database is damaged: stop the server and restore the database from a backup.",
  unreadable: "The database cannot be read now; if this lasts, the log of the server has the reason.",
  full: "The disk of the data folder is full: free some space.",
  "read-only": "The disk of the data folder is read-only: make it writable.",
  failing: "The disk of the data folder refuses or fails writes: the log of the server has the path and the reason.",
  unsynced: "The disk of the data folder lost writes: repair the disk, then restart the server.",
};

const CHECK_EVERY_MS = 1000;
const WRITE_EVERY_MS = 5000;
const LOG_BYTES = 64 * 1024 ** 2;

export function createHealth(parts: HealthParts): Health {
  const { database, databasePath, guard } = parts;
  const troubles = createTroubles(parts);
  const disk = createDiskCheck(parts, troubles);
  const remote = createRemoteParts(parts, troubles);

  function isFolderInPlace(): boolean {
    const problem = guard.problem();
    const reason = problem && `${problem.path} ${problem.what} under the running server`;
    troubles.set("folder", reason, DETAILS.folder);
    return problem === undefined;
  }

  /** `age`: ms since the last test write after which the next one is due. A replaced folder is not tested. */
  async function check(age: number): Promise<void> {
    if (isFolderInPlace()) await disk.check(age);
  }

  async function note(fault: unknown): Promise<void> {
    if (isDatabaseDamaged(fault)) troubles.set("database", `${databasePath} is damaged`, DETAILS.database);
    const kind = faultKind(fault);
    if (isDatabaseDiskFailure(fault)) disk.fail({ kind, message: `${databasePath}: ${messageOf(fault)}` });
    else if (isSyncFailure(fault))
      disk.fail({ kind, message: `${messageOf(fault)}; repair the disk, then restart the server` }, "permanently");
    else if (isDiskFailure(fault)) disk.fail({ kind, message: messageOf(fault) });
    // A large upload can fill the disk briefly, so one refusal proves nothing: test the disk now that its file is gone.
    else if (isDiskRefusal(fault)) await check(0);
  }

  async function problems(): Promise<NotReady[]> {
    let unready: string | undefined;
    try {
      const storage = remote.storage.fault(REMOTE_FRESH_MS);
      await check(CHECK_EVERY_MS);
      if (!troubles.has("folder")) await requireDatabase(database, remote.database);
      await storage;
    } catch (error) {
      await note(error);
      unready = error instanceof AppError ? error.message : DETAILS.unreadable;
    }
    const found = troubles.notReady();
    return found.length === 0 && unready !== undefined ? [{ part: "database", detail: unready }] : found;
  }

  return {
    get isFolderInPlace() {
      return !troubles.has("folder");
    },
    problems,
    requireFolder: () => {
      if (!isFolderInPlace()) throw folderGone();
    },
    explain: (error) => {
      if (!isFolderInPlace()) return folderGone();
      void note(error);
      const explained = toDiskError(toAppError(error));
      remote.blame(explained);
      return remote.withoutKnownCause(explained);
    },
    watch: () =>
      everySecond(() => {
        void check(WRITE_EVERY_MS);
        remote.look();
        // SQLite shrinks its log only at the next commit, which can be a day away.
        if (database.logBytes() > LOG_BYTES) database.shrinkLog();
      }, troubles.close),
  };
}

function everySecond(work: () => void, onStop: () => void): { stop(): void } {
  const timer = setInterval(work, CHECK_EVERY_MS);
  timer.unref();
  const stop = (): void => {
    onStop();
    clearInterval(timer);
  };
  return { stop };
}

async function requireDatabase({ read }: Database, server: RemotePart): Promise<void> {
  const fault = await server.fault(0);
  if (fault !== undefined) throw fault;
  await findOwner(read, "admin");
}

type DiskCheck = { check(age: number): Promise<void>; fail(fault: DiskFault, howLong?: "permanently"): void };

function createDiskCheck(parts: HealthParts, troubles: Troubles): DiskCheck {
  const { disk, events, clock, reserve } = parts;
  let written = Number.NEGATIVE_INFINITY;
  let failed = Number.NEGATIVE_INFINITY;
  let checking: Promise<void> | undefined;

  async function check(age: number): Promise<void> {
    const free = await disk.free().catch(() => 0);
    events.diskMeasured(free);
    const lack = free < reserve ? `${free} bytes are free, but uploads must leave ${reserve}` : undefined;
    troubles.set("space", lack, "");
    let fault = await disk.look();
    // A disk that failed counts as repaired only after a successful write.
    if (fault === undefined && (troubles.has("disk") || clock.elapsed() - written >= age)) {
      fault = await disk.write();
      written = clock.elapsed();
    }
    // One successful test does not cancel a failure that is only seconds old.
    if (fault === undefined && clock.elapsed() - failed < WRITE_EVERY_MS) return;
    const isPermanent = failed === Number.POSITIVE_INFINITY;
    troubles.set("disk", fault?.message, DETAILS[isPermanent ? "unsynced" : (fault?.kind ?? "failing")]);
  }

  return {
    check: async (age) => {
      checking ??= check(age).finally(() => (checking = undefined));
      await checking;
    },
    fail: ({ kind, message }, howLong) => {
      failed = howLong === "permanently" ? Number.POSITIVE_INFINITY : Math.max(failed, clock.elapsed());
      troubles.set("disk", message, DETAILS[failed === Number.POSITIVE_INFINITY ? "unsynced" : kind]);
    },
  };
}

function folderGone(): AppError {
  return unavailable("The server's data folder was moved or replaced. Its administrator must restart the server.", 60);
}
