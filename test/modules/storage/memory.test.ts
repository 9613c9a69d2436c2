import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMemoryStore } from "../../../src/modules/storage/memory.ts";
import { blobStoreConformance } from "../../conformance/blob-store.ts";

blobStoreConformance("memory", async () => {
  const folder = await mkdtemp(join(tmpdir(), "condarium-memory-"));
  return {
    open: () => createMemoryStore({ folder, now: () => 1_700_000_000_000 }),
    leftovers: () => readdir(folder),
    close: () => rm(folder, { recursive: true }),
  };
});
