// Runs the collector periodically beside the server, in a worker thread that ends with the run.

import type { Events } from "../../events.ts";
import type { StoresSource } from "../../models/stores-source.ts";
import type { Workers } from "../workers.ts";
import type { GcJobs } from "./gc-worker.ts";

export type GcSchedule = { stop(): void };

export type GcScheduleParts = {
  /** Creates a separate pool for each run. */
  readonly createWorkers: () => Workers<GcJobs>;
  readonly events: Events;
  readonly source: StoresSource;
  /** 0 disables the schedule. */
  readonly intervalMs: number;
  readonly graceMs: number;
  readonly auditMs: number;
};

/** Delay of the first run, because a server start has other work. */
const FIRST_MS = 10 * 60_000;
const LIMIT_MS = 12 * 60 * 60_000;

export function scheduleGc(parts: GcScheduleParts): GcSchedule {
  const { intervalMs, events } = parts;
  let isStopped = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let workers: Workers<GcJobs> | undefined;

  function schedule(ms: number): void {
    timer = setTimeout(() => void run(), ms);
    timer.unref();
  }

  async function run(): Promise<void> {
    workers = parts.createWorkers();
    try {
      await collect(parts, workers);
    } catch (error) {
      if (!isStopped) events.internalError(error, "gc");
    } finally {
      workers.close();
    }
    if (!isStopped) schedule(intervalMs);
  }

  if (intervalMs > 0) schedule(Math.min(intervalMs, FIRST_MS));
  return {
    stop: () => {
      isStopped = true;
      clearTimeout(timer);
      workers?.close();
    },
  };
}

async function collect({ source, graceMs, auditMs, events }: GcScheduleParts, workers: Workers<GcJobs>): Promise<void> {
  const outcome = await workers.run({ kind: "gc", source, graceMs, auditMs }, LIMIT_MS);
  if (outcome.kind !== "done") throw new Error(outcome.kind === "failed" ? outcome.message : outcome.kind);
  const { totals, bytes, left } = outcome.answer;
  events.spaceCollected({ files: totals.reduce((sum, { count }) => sum + count, 0), bytes, left });
}
