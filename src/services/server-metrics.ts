// Metrics of the process and of the stored packages, read when they are scraped.

import type { Reader } from "../models/database.ts";
import { storedTotals, type StoredTotals } from "../models/stored-total.ts";
import type { Clock } from "../modules/clock.ts";
import type { Metrics } from "../modules/metrics.ts";

export type ServerMetricsParts = {
  readonly metrics: Metrics;
  readonly reader: Reader;
  readonly clock: Clock;
  readonly version: string;
};

export function observeServer({ metrics, reader, clock, version }: ServerMetricsParts): void {
  const started = clock.now() / 1000;
  metrics.info("condarium_build_info", "The version of condarium and of its runtime", { version, bun: Bun.version });
  metrics.observe("process_start_time_seconds", "Start of the server in seconds since 1970, UTC", () => started, "min");
  metrics.observe("process_resident_memory_bytes", "Resident memory of the server", () => process.memoryUsage.rss());
  const totals: readonly (readonly [keyof StoredTotals, name: string, help: string])[] = [
    ["files", "condarium_package_files", "Package files in all channels"],
    ["blobs", "condarium_stored_files", "Stored files of packages; package files with equal content share one"],
    ["bytes", "condarium_stored_bytes", "Bytes of the stored files of packages; garbage collection lowers them"],
  ];
  for (const [total, name, help] of totals) {
    // An unreadable database must not take the other metrics away.
    const read = async (): Promise<number | undefined> =>
      await storedTotals(reader).then(
        (known) => known[total],
        () => undefined,
      );
    metrics.observe(name, help, read, "max");
  }
}
