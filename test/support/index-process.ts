// A separate process that builds documents at the request of its parent.

import { condaIndex } from "../../src/services/conda/index-format.ts";
import type { BuildReply, BuildRequest } from "../../src/services/index/builder.ts";
import { createIndexWorker } from "../../src/services/index/worker.ts";
import { indexIdentity, openIndexStores } from "../../src/stores.ts";

export type ProcessReply =
  | { readonly kind: "document"; readonly reply: BuildReply }
  | { readonly kind: "failed"; readonly message: string };

type Job = { readonly dataFolder: string; readonly request: BuildRequest };

if (import.meta.main) {
  const worker = createIndexWorker({ format: condaIndex, open: openIndexStores, identityOf: indexIdentity });
  const work = async ({ dataFolder, request }: Job): Promise<ProcessReply> => {
    try {
      return { kind: "document", reply: await worker.use(dataFolder, ({ build }) => build(request)) };
    } catch (error) {
      return { kind: "failed", message: error instanceof Error ? error.message : String(error) };
    }
  };
  process.on("message", (job: Job) => void work(job).then((reply) => process.send?.(reply)));
}
