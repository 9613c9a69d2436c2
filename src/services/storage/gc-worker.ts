// The collector in a worker thread: it opens the stores for one run.

import type { StoresSource } from "../../models/stores-source.ts";
import { createGc, type GcParts, type GcSummary } from "./gc.ts";

export type GcStores = Omit<GcParts, "codec" | "failpoint"> & { close(): Promise<void> };

type GcJob = { readonly source: StoresSource; readonly graceMs: number; readonly auditMs: number };
export type GcJobs = { readonly gc: { readonly input: GcJob; readonly answer: GcSummary } };

export type GcWorkerParts = {
  /** The codec of the derived data. */
  readonly codec: string;
  readonly open: (source: StoresSource) => Promise<GcStores>;
};

export async function collectIn(job: GcJob, parts: GcWorkerParts): Promise<GcSummary> {
  const { close, ...stores } = await parts.open(job.source);
  try {
    return await createGc({ ...stores, codec: parts.codec })(job);
  } finally {
    await close();
  }
}
