// A separate process: publishes small packages over kept connections and prints the time of each.

import { z } from "zod";

import { buildPackage } from "../support/package-builder.ts";

export type PublishLoad = z.infer<typeof loadShape>;

const loadShape = z.object({
  url: z.string(),
  token: z.string(),
  clients: z.number(),
  packages: z.number(),
  /** Part of the packages' names, so that no two loads publish the same. */
  series: z.string(),
});

if (import.meta.main) {
  const load = loadShape.parse(JSON.parse(process.argv[2] ?? ""));
  console.log(JSON.stringify(await run(load)));
}

async function run(load: PublishLoad): Promise<{ seconds: number; latencies: number[] }> {
  const waiting = Array.from({ length: load.packages }, (_, at) =>
    buildPackage({ name: `small-${load.series}-${at}`, version: "1.0", depends: ["python >=3.9"] }),
  );
  const latencies: number[] = [];
  const client = async (): Promise<void> => {
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const started = performance.now();
      await send(load, next.fileName, next.bytes);
      latencies.push(performance.now() - started);
    }
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: load.clients }, client));
  return { seconds: (performance.now() - started) / 1000, latencies };
}

async function send(load: PublishLoad, fileName: string, bytes: Uint8Array): Promise<void> {
  const answer = await fetch(`${load.url}/api/packages/admin/conda/main/${fileName}`, {
    method: "PUT",
    headers: { authorization: `Bearer ${load.token}` },
    body: new Uint8Array(bytes),
  });
  const text = await answer.text();
  if (answer.status !== 201) throw new Error(`${fileName} was answered ${answer.status} ${text}`);
}
