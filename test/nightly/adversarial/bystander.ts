// A separate process: a user of another channel, who publishes and reads during the attacks. Prints the ms of each
// request.

import { z } from "zod";
import { buildPackage } from "../../support/package-builder.ts";

const shape = z.object({ url: z.string(), token: z.string(), seconds: z.number(), tag: z.string() });
export type BystanderWork = z.infer<typeof shape>;

export const bystanderResult = z.object({
  publishes: z.array(z.number()),
  reads: z.array(z.number()),
  failures: z.array(z.string()),
  /** The slowest requests, slowest first. */
  slowest: z.array(z.object({ what: z.string(), ms: z.number(), at: z.number() })),
});
export type BystanderResult = z.infer<typeof bystanderResult>;

const PAUSE_MS = 20;
const SLOWEST = 12;
const DOCUMENTS = ["repodata_shards.msgpack.zst", "repodata.json.zst", "repodata.json"];

if (import.meta.main) console.log(JSON.stringify(await work(shape.parse(JSON.parse(process.argv[2] ?? "")))));

async function work({ url, token, seconds, tag }: BystanderWork): Promise<BystanderResult> {
  const result: BystanderResult = { publishes: [], reads: [], failures: [], slowest: [] };
  const begin = performance.now();
  const authorization = `Bearer ${token}`;
  const timed = async (into: number[], what: string, ask: () => Promise<Response>): Promise<void> => {
    const started = performance.now();
    try {
      const answer = await ask();
      await answer.arrayBuffer();
      if (!answer.ok) result.failures.push(`${answer.status} of ${answer.url}`);
    } catch (error) {
      result.failures.push(String(error));
    }
    const ms = performance.now() - started;
    into.push(ms);
    result.slowest = [...result.slowest, { what, ms, at: started - begin }]
      .toSorted((a, b) => b.ms - a.ms)
      .slice(0, SLOWEST);
  };
  const end = performance.now() + seconds * 1000;
  for (let round = 0; performance.now() < end; round += 1) {
    const built = buildPackage({ name: "honest", version: `${round}.${tag}` });
    const put = { method: "PUT", headers: { authorization }, body: built.bytes.slice() };
    await timed(result.publishes, "publish", () =>
      fetch(`${url}/api/packages/alice/conda/main/${built.fileName}`, put),
    );
    for (const file of [...DOCUMENTS, built.fileName]) {
      await timed(result.reads, file, () => fetch(`${url}/alice/main/noarch/${file}`));
      await Bun.sleep(PAUSE_MS);
    }
  }
  return result;
}
