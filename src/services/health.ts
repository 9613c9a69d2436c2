// Whether the server can do its work: its folder is in place, its database answers, and its disk takes what is written.

import { unavailable, type AppError } from "../errors.ts";
import type { Events, TroubleKind } from "../events.ts";
import { isDatabaseDamaged, isDatabaseDiskFailure, toAppError } from "../models/sqlite/errors.ts";
import type { Database } from "../models/database.ts";
import type { FolderGuard } from "../models/folder-guard.ts";
import { findOwner } from "../models/owner.ts";
import type { Clock } from "../modules/clock.ts";
import { isDiskFailure, isDiskRefusal, isSyncFailure, toDiskError } from "../modules/storage/disk-errors.ts";
import type { DiskProbe } from "../modules/storage/disk-probe.ts";

export type Health = {
  /** Whether reads can be answered and changes stored. That uploads leave no room makes nobody else wait. */
  isReady(): Promise<boolean>;
  /** Errors: `unavailable` when the data folder is not the one that was opened. */
  requireFolder(): void;
  /** The same by a look that is a second old, for what happens often. */
  readonly isFolderThere: boolean;
  /** What a failure means for the one who asked; what it says of the server's disk counts at once. */
  explain(error: unknown): unknown;
  /** Looks again now and then, so that trouble is known when nobody asks for anything. */
  watch(): { stop(): void };
};

export type HealthParts = {
  readonly database: Database;
  readonly databasePath: string;
  readonly guard: FolderGuard;
  readonly disk: DiskProbe;
  /** Bytes that uploads leave free. */
  readonly reserve: number;
  readonly events: Events;
  readonly clock: Clock;
};

const LOOK_EVERY_MS = 1000;
const WRITE_EVERY_MS = 5000;
const LOG_BYTES = 64 * 1024 ** 2;

export function createHealth(parts: HealthParts): Health {
  const { database, databasePath, guard } = parts;
  const troubles = createTroubles(parts.events);
  const disk = createDiskLook(parts, troubles);

  function isFolderThere(): boolean {
    const problem = guard.problem();
    troubles.set("folder", problem && `${problem.path} ${problem.what} under the running server`);
    return problem === undefined;
  }

  /** `age`: of the last writing to the disk, in ms. In another folder there is nothing to try. */
  async function look(age: number): Promise<void> {
    if (isFolderThere()) await disk.look(age);
  }

  async function note(fault: unknown): Promise<void> {
    if (isDatabaseDamaged(fault)) troubles.set("database", `${databasePath} is damaged`);
    if (isDatabaseDiskFailure(fault)) disk.fail(`${databasePath}: ${messageOf(fault)}`);
    else if (isSyncFailure(fault))
      disk.fail(`${messageOf(fault)}; restart the server once the disk is sound`, "for good");
    else if (isDiskFailure(fault)) disk.fail(messageOf(fault));
    // A large upload fills a disk for a moment, so this alone says nothing: what is left once it has gone does.
    else if (isDiskRefusal(fault)) await look(0);
  }

  return {
    get isFolderThere() {
      return !troubles.has("folder");
    },
    isReady: async () => {
      try {
        await look(LOOK_EVERY_MS);
        if (!troubles.has("folder")) await findOwner(database.read, "admin");
      } catch (error) {
        await note(error);
        return false;
      }
      return !troubles.has("folder", "disk", "database");
    },
    requireFolder: () => {
      if (!isFolderThere()) throw folderGone();
    },
    explain: (error) => {
      if (!isFolderThere()) return folderGone();
      void note(error);
      return toDiskError(toAppError(error));
    },
    watch: () => {
      const timer = setInterval(() => {
        void look(WRITE_EVERY_MS);
        // SQLite shrinks it at the next commit, which may be tomorrow.
        if (database.logBytes() > LOG_BYTES) database.shrinkLog();
      }, LOOK_EVERY_MS);
      timer.unref();
      const stop = (): void => {
        troubles.close();
        clearInterval(timer);
      };
      return { stop };
    },
  };
}

type Troubles = {
  /** Tells of a trouble when it begins and when it ends; `reason` is undefined where there is none. */
  set(kind: TroubleKind, reason: string | undefined): void;
  has(...kinds: readonly TroubleKind[]): boolean;
  /** What is found afterwards is not the server's any more. */
  close(): void;
};

function createTroubles(events: Events): Troubles {
  const known = new Set<TroubleKind>();
  let closed = false;
  return {
    set: (kind, reason) => {
      if (closed || known.has(kind) === (reason !== undefined)) return;
      if (reason === undefined) {
        known.delete(kind);
        events.troubleEnded(kind);
      } else {
        known.add(kind);
        events.troubleBegan(kind, reason);
      }
    },
    has: (...kinds) => kinds.some((kind) => known.has(kind)),
    close: () => (closed = true),
  };
}

type DiskLook = { look(age: number): Promise<void>; fail(reason: string, howLong?: "for good"): void };

function createDiskLook(parts: HealthParts, troubles: Troubles): DiskLook {
  const { disk, events, clock, reserve } = parts;
  let written = Number.NEGATIVE_INFINITY;
  let failed = Number.NEGATIVE_INFINITY;
  let looking: Promise<void> | undefined;

  async function look(age: number): Promise<void> {
    const free = await disk.free().catch(() => 0);
    events.diskMeasured(free);
    troubles.set("space", free < reserve ? `${free} bytes are free, and uploads leave ${reserve}` : undefined);
    let reason = await disk.look();
    // What cannot be written is well again only once it has been.
    if (reason === undefined && (troubles.has("disk") || clock.elapsed() - written >= age)) {
      reason = await disk.write();
      written = clock.elapsed();
    }
    // Nor does one try that goes well make good the failure of a moment ago.
    if (reason === undefined && clock.elapsed() - failed < WRITE_EVERY_MS) return;
    troubles.set("disk", reason);
  }

  return {
    look: async (age) => {
      looking ??= look(age).finally(() => (looking = undefined));
      await looking;
    },
    fail: (reason, howLong) => {
      failed = howLong === "for good" ? Number.POSITIVE_INFINITY : Math.max(failed, clock.elapsed());
      troubles.set("disk", reason);
    },
  };
}

/** Of the innermost error: what people are told hides it. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? messageOf(error.cause) : error.message;
}

function folderGone(): AppError {
  return unavailable(
    "The server's data folder was moved or replaced. Its administrator has to restart the server.",
    60,
  );
}
