// Entry of the worker threads: takes one job at a time and answers it.

import { startBusyTime } from "./modules/clock.ts";
import { inspectArchive } from "./modules/conda/inspect-archive.ts";
import { condaIndex } from "./services/conda/index-format.ts";
import { createHashWorker } from "./services/hash-worker.ts";
import { createIndexWorker } from "./services/index/worker.ts";
import { packDocument } from "./services/index/files/gzip-worker.ts";
import { collectIn } from "./services/storage/gc-worker.ts";
import type { WorkerJob, WorkerReply } from "./services/workers.ts";
import { indexIdentity, openGcStores, openIndexStores } from "./stores.ts";

declare const self: Worker;

self.addEventListener("message", (event: MessageEvent<WorkerJob>) => {
  void answer(event.data).then((reply) => self.postMessage(reply));
});

/** Past this, what an inspection leaves behind is worth collecting at once: the heap of a thread grows late and shrinks later. */
const LONG_MS = 100;

const index = createIndexWorker({ format: condaIndex, open: openIndexStores, identityOf: indexIdentity });
const hashes = createHashWorker();

async function answer(job: WorkerJob): Promise<WorkerReply> {
  try {
    if (job.kind === "document") {
      const reply = await index.use(job.dataFolder, ({ build }) => build(job.request));
      return { kind: "document", reply, mended: index.takeMended() };
    }
    if (job.kind === "shard") {
      return { kind: "shard", reply: await index.use(job.dataFolder, ({ restore }) => restore(job.request)) };
    }
    if (job.kind === "pack") return { kind: "packed", reply: packDocument(job.request) };
    if (job.kind === "gc")
      return { kind: "collected", summary: await collectIn(job, { codec: condaIndex.codec, open: openGcStores }) };
    if (job.kind === "hash") return { kind: "hashed", digest: hashes.take(job) };
    const busy = startBusyTime();
    const inspection = await inspectArchive(job.path, { ...job, busy });
    if (busy() > LONG_MS) Bun.gc(true);
    return { kind: "inspected", inspection };
  } catch (error) {
    return { kind: "failed", message: error instanceof Error ? error.message : String(error) };
  }
}
