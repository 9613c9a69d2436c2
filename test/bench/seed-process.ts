// A separate process: fills the channel `admin/main`. The engine of a process cannot change, so one on PostgreSQL is new.

import { z } from "zod";

import { seedChannel } from "./channel-seed.ts";

const loadShape = z.object({ dataDir: z.string(), records: z.number() });

export type SeedLoad = z.infer<typeof loadShape>;

if (import.meta.main) {
  const { dataDir, records } = loadShape.parse(JSON.parse(process.argv[2] ?? ""));
  await seedChannel(dataDir, records);
  console.log("{}");
}
