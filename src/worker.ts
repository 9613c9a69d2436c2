// Entry of the worker threads: takes one job at a time and answers it.

import { startBusyTime } from "./modules/clock.ts";
import { inspectArchive } from "./modules/conda/inspect-archive.ts";
import { createHashWorker } from "./services/hash-worker.ts";
import { createIndexWorker } from "./services/index/index-worker.ts";
import { packDocument } from "./services/index/pack-worker.ts";
import { collectIn } from "./services/storage/gc-worker.ts";
import type { Answers, JobKind, WorkerJob, WorkerReply } from "./services/workers.ts";

declare const self: Worker;

self.addEventListener("message", (event: MessageEvent<WorkerJob>) => {
  void answer(event.data).then((reply) => self.postMessage(reply));
});

/** Past this, what an inspection leaves behind is worth collecting at once: the heap of a thread grows late and shrinks later. */
const LONG_MS = 100;

const index = createIndexWorker();
const hashes = createHashWorker();

/** One for each kind of job. */
const work: { readonly [K in JobKind]: (job: WorkerJob<K>) => Answers[K] | Promise<Answers[K]> } = {
  document: async ({ dataFolder, request }) => {
    const reply = await index.use(dataFolder, ({ build }) => build(request));
    return { reply, mended: index.takeMended() };
  },
  shard: async ({ dataFolder, request }) => await index.use(dataFolder, ({ restore }) => restore(request)),
  pack: ({ request }) => packDocument(request),
  gc: collectIn,
  hash: hashes.take,
  inspect: async (job) => {
    const busy = startBusyTime();
    const inspection = await inspectArchive(job.path, { ...job, busy });
    if (busy() > LONG_MS) Bun.gc(true);
    return inspection;
  },
};

async function answer<K extends JobKind>(job: WorkerJob<K>): Promise<WorkerReply<K>> {
  try {
    return { kind: "done", answer: await work[job.kind](job) };
  } catch (error) {
    return { kind: "failed", message: error instanceof Error ? error.message : String(error) };
  }
}
