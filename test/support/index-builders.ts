// Builders of documents of a data folder, each with its own connections: in this thread, in another, in a process.

import { join } from "node:path";
import { openSnapshots } from "../../src/models/open-database.ts";
import { openDerived } from "../../src/models/index/db.ts";
import type { StoresSource } from "../../src/models/stores-source.ts";
import type { Clock } from "../../src/modules/clock.ts";
import { createDerivedFiles } from "../../src/modules/storage/derived-files.ts";
import type { BlobStore } from "../../src/modules/storage/blob-store.ts";
import { createDiskStore } from "../../src/modules/storage/disk.ts";
import { condaIndex } from "../../src/services/conda/index-format.ts";
import { createIndexBuilder, type BuildReply, type BuildRequest } from "../../src/services/index/builder.ts";
import type { DocumentJobs } from "../../src/services/index/worker.ts";
import { createWorkers } from "../../src/services/workers.ts";
import type { ProcessReply } from "./index-process.ts";
import { loadConfig } from "../../src/config.ts";
import { createS3Store } from "../../src/modules/storage/s3/store.ts";
import { storesSource } from "../../src/stores.ts";
import { openedEngines } from "./engines.ts";
import { sourceOf } from "./rows.ts";

export type TestBuilder = {
  /** Throws the builder's error. */
  build(request: BuildRequest): Promise<BuildReply>;
  /** Ends it at once, even during its work. */
  close(): Promise<void>;
};

const LIMIT_MS = 60_000;

/** `from` has the main database, `to` the derived data: the same folder, except for a full build. */
export function builderHere(from: string, to: string, clock: Clock): TestBuilder {
  const snapshots = openSnapshots(sourceOf(from));
  const derived = openDerived(join(to, "index.db"), condaIndex.codec);
  // A full build beside the others is for comparisons: it stores its shards apart from theirs.
  const blobs = from === to ? blobsOf(from) : createDiskStore({ root: to, reserve: 0 });
  const files = createDerivedFiles(to);
  const { build } = createIndexBuilder({ snapshots, derived, files, blobs, clock, format: condaIndex });
  return {
    build,
    close: async () => {
      derived.close();
      await snapshots.close();
    },
  };
}

export function builderInThread(dataFolder: string): TestBuilder {
  const env = environmentOf(dataFolder);
  const spawn = (): Worker => new Worker(new URL("../../src/worker.ts", import.meta.url).href, { env });
  const workers = createWorkers<DocumentJobs>({ spawn, size: 1, queue: 0 });
  return {
    build: async (request) => {
      const outcome = await workers.run({ kind: "document", source: storesOf(dataFolder), request }, LIMIT_MS);
      if (outcome.kind === "done") return outcome.answer.reply;
      throw new Error(`a thread answered: ${JSON.stringify(outcome)}`);
    },
    close: () => Promise.resolve(workers.close()),
  };
}

export function builderInProcess(dataFolder: string): TestBuilder {
  let answer: (reply: ProcessReply) => void = () => undefined;
  const child = Bun.spawn([process.execPath, Bun.fileURLToPath(import.meta.resolve("./index-process.ts"))], {
    ipc: (reply: ProcessReply) => answer(reply),
    serialization: "advanced",
    env: environmentOf(dataFolder),
    stdio: ["ignore", "inherit", "inherit"],
  });
  return {
    build: async (request) => {
      const answered = new Promise<ProcessReply>((resolve) => void (answer = resolve));
      child.send({ source: storesOf(dataFolder), request });
      const ended = child.exited.then((): ProcessReply => ({ kind: "failed", message: "it has ended" }));
      const outcome = await Promise.race([answered, ended]);
      if (outcome.kind === "document") return outcome.reply;
      throw new Error(`a process answered: ${outcome.message}`);
    },
    close: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

/** The packages and shards of the node with this folder. */
export function blobsOf(dataFolder: string): BlobStore {
  const { storage } = storesOf(dataFolder);
  const place = { root: dataFolder, reserve: 0 };
  return storage.kind === "folder"
    ? createDiskStore(place)
    : createS3Store({ ...place, description: storage, offersUrls: false });
}

function storesOf(dataFolder: string): StoresSource {
  const flags = { data: dataFolder, ...openedEngines(dataFolder).settings };
  return storesSource(loadConfig({ flags, environment: {} }).config, { root: dataFolder });
}

/** Of another thread or process, whose models choose their tables as well. */
function environmentOf(dataFolder: string): Record<string, string> {
  const variables = Object.entries({ ...process.env, ...openedEngines(dataFolder).environment });
  return Object.fromEntries(variables.filter((entry): entry is [string, string] => entry[1] !== undefined));
}
