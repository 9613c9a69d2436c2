// Entry of the worker threads: takes one job at a time and answers it.

import { setPriority } from "node:os";

import { startBusyTime } from "./modules/clock.ts";
import { inspectArchive } from "./modules/conda/inspect-archive.ts";
import { condaIndex } from "./services/conda/index-format.ts";
import { createHashWorker } from "./services/hash-worker.ts";
import { createIndexWorker } from "./services/index/worker.ts";
import { packDocument } from "./services/index/files/gzip-worker.ts";
import { collectIn } from "./services/storage/gc-worker.ts";
import type { InspectJob, WorkerJob, WorkerReply } from "./services/workers.ts";
import { indexIdentity, openGcStores, openIndexStores } from "./stores.ts";

declare const self: Worker;

self.addEventListener("message", (event: MessageEvent<WorkerJob>) => {
  void answer(event.data).then((reply) => self.postMessage(reply));
});

/** Past this an inspection gives way to the threads that answer requests, and its thread, whose heap has grown, is spent. */
const LONG_MS = 100;
const LOW_PRIORITY = 10;

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
    if (job.kind === "gc") {
      giveWay();
      return { kind: "collected", summary: await collectIn(job, { codec: condaIndex.codec, open: openGcStores }) };
    }
    if (job.kind === "hash") return { kind: "hashed", digest: hashes.take(job) };
    return await inspect(job);
  } catch (error) {
    return { kind: "failed", message: error instanceof Error ? error.message : String(error) };
  }
}

async function inspect(job: InspectJob): Promise<WorkerReply> {
  const used = startBusyTime();
  let isSpent = false;
  const busy = (): number => {
    const ms = used();
    if (ms > LONG_MS && !isSpent) giveWay();
    isSpent ||= ms > LONG_MS;
    return ms;
  };
  const inspection = await inspectArchive(job.path, { ...job, busy });
  busy();
  return { kind: "inspected", inspection, isSpent };
}

/** For good: nobody without rights may raise a priority again. Elsewhere than on Linux it would be that of the process. */
function giveWay(): void {
  if (process.platform === "linux") setPriority(0, LOW_PRIORITY);
}
