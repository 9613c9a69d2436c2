// A separate process: publishes small packages over kept connections and prints the time of each.

import { z } from "zod";

import { buildPackage, type BuiltPackage } from "../support/package-builder.ts";

export type PublishLoad = z.input<typeof loadShape>;

const loadShape = z.object({
  url: z.string(),
  token: z.string(),
  clients: z.number(),
  /** Each client publishes to one of this many channels. */
  channels: z.number().default(1),
  packages: z.number(),
  /** Part of the packages' names, so that no two loads publish the same. */
  series: z.string(),
});

if (import.meta.main) {
  const load = loadShape.parse(JSON.parse(process.argv[2] ?? ""));
  console.log(JSON.stringify(await run(load)));
}

async function run(load: z.output<typeof loadShape>): Promise<{ seconds: number; latencies: number[] }> {
  const waiting = Array.from({ length: load.packages }, (_, at) =>
    buildPackage({ name: `small-${load.series}-${at}`, version: "1.0", depends: ["python >=3.9"] }),
  );
  const latencies: number[] = [];
  const client = async (_: unknown, at: number): Promise<void> => {
    const channel = channelName(at % load.channels);
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const started = performance.now();
      await send(load, channel, next);
      latencies.push(performance.now() - started);
    }
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: load.clients }, client));
  return { seconds: (performance.now() - started) / 1000, latencies };
}

function channelName(at: number): string {
  return at === 0 ? "main" : `main-${at}`;
}

type Addressed = { readonly url: string; readonly token: string };

async function send({ url, token }: Addressed, channel: string, { fileName, bytes }: BuiltPackage): Promise<void> {
  const answer = await fetch(`${url}/api/packages/admin/conda/${channel}/${fileName}`, {
    method: "PUT",
    headers: { authorization: `Bearer ${token}` },
    body: new Uint8Array(bytes),
  });
  const text = await answer.text();
  if (answer.status !== 201) throw new Error(`${fileName} was answered ${answer.status} ${text}`);
}
