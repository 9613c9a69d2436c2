// A separate process that builds documents at the request of its parent.

import { condaIndex } from "../../src/services/conda/index-format.ts";
import type { StoresSource } from "../../src/models/stores-source.ts";
import type { BuildReply, BuildRequest } from "../../src/services/index/builder.ts";
import { createIndexWorker } from "../../src/services/index/worker.ts";
import { indexIdentity, openIndexStores } from "../../src/stores.ts";

export type ProcessReply =
  | { readonly kind: "document"; readonly reply: BuildReply }
  | { readonly kind: "failed"; readonly message: string };

type Job = { readonly source: StoresSource; readonly request: BuildRequest };

if (import.meta.main) {
  const worker = createIndexWorker({ format: condaIndex, open: openIndexStores, identityOf: indexIdentity });
  const work = async ({ source, request }: Job): Promise<ProcessReply> => {
    try {
      return { kind: "document", reply: await worker.use(source, ({ build }) => build(request)) };
    } catch (error) {
      return { kind: "failed", message: error instanceof Error ? error.message : String(error) };
    }
  };
  process.on("message", (job: Job) => void work(job).then((reply) => process.send?.(reply)));
}
