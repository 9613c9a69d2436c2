// Entry of the worker threads: each takes one job at a time and posts its reply.

import { setPriority } from "node:os";

import { startBusyTime } from "./modules/clock.ts";
import { inspectArchive } from "./modules/conda/inspect-archive.ts";
import { condaIndex } from "./services/conda/index-format.ts";
import { createHashWorker } from "./services/hash-worker.ts";
import { createIndexWorker } from "./services/index/worker.ts";
import { packDocument } from "./services/index/files/gzip-worker.ts";
import { collectIn } from "./services/storage/gc-worker.ts";
import { failureOf } from "./services/worker-failures.ts";
import { STARTED, type WorkerJob, type WorkerReply } from "./services/workers.ts";
import type { ThreadJobs } from "./threads.ts";
import { indexIdentity, openGcStores, openIndexStores } from "./stores.ts";

declare const self: Worker;

type Kind = keyof ThreadJobs;
type Job<K extends Kind = Kind> = WorkerJob<ThreadJobs, K>;
type Answer<K extends Kind> = ThreadJobs[K]["answer"];

self.addEventListener("message", (event: MessageEvent<Job>) => {
  void answer(event.data).then((reply) => self.postMessage(reply));
});
self.postMessage(STARTED);

/** A longer inspection lowers its priority below the request threads; its thread is replaced, as its heap has grown. */
const LONG_MS = 100;
const LOW_PRIORITY = 10;

const index = createIndexWorker({ format: condaIndex, open: openIndexStores, identityOf: indexIdentity });
const hashes = createHashWorker();
let isSpent = false;

/** The handler of each kind of job. */
const work: { readonly [K in Kind]: (job: Job<K>) => Answer<K> | Promise<Answer<K>> } = {
  document: async ({ source, request, patienceMs }) => {
    const reply = await index.use(source, ({ build }) => build(request), patienceMs);
    return { reply, repaired: index.takeRepaired() };
  },
  shard: async ({ source, request }) => await index.use(source, ({ restore }) => restore(request)),
  pack: ({ request }) => packDocument(request),
  gc: async (job) => {
    lowerPriority();
    return await collectIn(job, { codec: condaIndex.codec, open: openGcStores });
  },
  hash: hashes.take,
  inspect,
};

async function answer<K extends Kind>(job: Job<K>): Promise<WorkerReply<Answer<K>>> {
  try {
    return { kind: "done", answer: await work[job.kind](job), isSpent };
  } catch (error) {
    return { kind: "failed", ...failureOf(error) };
  }
}

async function inspect(job: Job<"inspect">): Promise<Answer<"inspect">> {
  const used = startBusyTime();
  const busy = (): number => {
    const ms = used();
    if (ms > LONG_MS && !isSpent) lowerPriority();
    isSpent ||= ms > LONG_MS;
    return ms;
  };
  const inspection = await inspectArchive(job.path, { ...job, busy });
  busy();
  return inspection;
}

/** Permanent: only root can raise a priority again. Outside Linux, `setPriority` would change the whole process. */
function lowerPriority(): void {
  if (process.platform === "linux") setPriority(0, LOW_PRIORITY);
}
