// What a worker thread does for the collector: it opens the data folder for one run.

import { join } from "node:path";
import { openDatabase } from "../../models/database.ts";
import { createReserve } from "../../models/reserve.ts";
import { systemClock } from "../../modules/clock.ts";
import { createDiskStore } from "../../modules/storage/disk.ts";
import { createGc, type GcSummary } from "./gc.ts";

export async function collectIn(
  job: { readonly dataFolder: string; readonly graceMs: number },
  codec: string,
): Promise<GcSummary> {
  const { dataFolder, graceMs } = job;
  const path = join(dataFolder, "condarium.db");
  const [clock, reserve] = [systemClock, createReserve(path)];
  const database = openDatabase({ path, clock, create: false, reserve });
  try {
    const blobs = createDiskStore({ root: dataFolder, reserve: 0 });
    return await createGc({ database, blobs, clock, dataFolder, reserve, codec })({ graceMs });
  } finally {
    database.close();
  }
}
