// Builders of documents of a data folder, each with its own connections: in this thread, in another, in a process.

import { join } from "node:path";
import { openSnapshots } from "../../src/models/open-database.ts";
import { openDerived } from "../../src/models/index/db.ts";
import type { StoresSource } from "../../src/models/stores-source.ts";
import type { Clock } from "../../src/modules/clock.ts";
import { createDerivedFiles } from "../../src/modules/storage/derived-files.ts";
import { createDiskStore } from "../../src/modules/storage/disk.ts";
import { condaIndex } from "../../src/services/conda/index-format.ts";
import { createIndexBuilder, type BuildReply, type BuildRequest } from "../../src/services/index/builder.ts";
import type { DocumentJobs } from "../../src/services/index/worker.ts";
import { createWorkers } from "../../src/services/workers.ts";
import type { ProcessReply } from "./index-process.ts";

export type TestBuilder = {
  /** Throws the builder's error. */
  build(request: BuildRequest): Promise<BuildReply>;
  /** Ends it at once, even during its work. */
  close(): Promise<void>;
};

const LIMIT_MS = 60_000;

/** `from` has the main database, `to` the derived data: the same folder, except for a full build. */
export function builderHere(from: string, to: string, clock: Clock): TestBuilder {
  const snapshots = openSnapshots({ engine: "sqlite", path: join(from, "condarium.db") });
  const derived = openDerived(join(to, "index.db"), condaIndex.codec);
  const [files, blobs] = [createDerivedFiles(to), createDiskStore({ root: to, reserve: 0 })];
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
  const spawn = (): Worker => new Worker(new URL("../../src/worker.ts", import.meta.url).href);
  const workers = createWorkers<DocumentJobs>({ spawn, size: 1, queue: 0 });
  return {
    build: async (request) => {
      const outcome = await workers.run({ kind: "document", source: sourceOf(dataFolder), request }, LIMIT_MS);
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
    stdio: ["ignore", "inherit", "inherit"],
  });
  return {
    build: async (request) => {
      const answered = new Promise<ProcessReply>((resolve) => void (answer = resolve));
      child.send({ source: sourceOf(dataFolder), request });
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

function sourceOf(dataFolder: string): StoresSource {
  return { dataFolder, storage: { kind: "folder" } };
}
