// A separate process: requests documents that need a full build, and prints how long other requests wait meanwhile.

import { z } from "zod";

import { SUBDIR } from "./channel-files.ts";
import { answerParent } from "./child.ts";
import { type Answer, callPatiently, type Client, connectTo, expectStatus } from "./client.ts";
import { createPublisher } from "./publisher.ts";

const loadShape = z.object({
  url: z.string(),
  token: z.string(),
  series: z.string(),
  /** The documents that are built. */
  paths: z.array(z.string()),
});

export const besideShape = z.object({
  /** Time until all documents are built. */
  seconds: z.number(),
  /** The number of retries. */
  repeats: z.number(),
  /** ms of each request. */
  others: z.array(z.object({ what: z.string(), times: z.array(z.number()) })),
});

export type BesideLoad = z.infer<typeof loadShape>;
type Other = { readonly what: string; readonly ask: () => Promise<number>; readonly times: number[] };

/** Pause between two requests of a client: the clients must notice the work without being the load. */
const PAUSE_MS = 20;
const WARM_UP = 20;

if (import.meta.main) await answerParent(loadShape, run);

async function run(load: BesideLoad): Promise<z.infer<typeof besideShape>> {
  const connect = (): Promise<Client> => connectTo(load.url);
  const others = [
    await reads(load, "GET", await connect()),
    await reads(load, "HEAD", await connect()),
    await publishes(load, await connect()),
    readsOfPublished(await connect()),
  ];
  let repeats = 0;
  const seconds = await askWhile(others, async () => {
    const answers = await Promise.all(load.paths.map((path) => callPatiently(load.url, { path })));
    for (const [at, answer] of answers.entries()) expectStatus(answer, 200, load.paths[at] ?? "");
    repeats = Math.max(...answers.map((answer) => answer.repeats));
  });
  return { seconds, repeats, others: others.map(({ what, times }) => ({ what, times })) };
}

/** All clients repeat requests until the work has ended; the work has its own time limit. */
async function askWhile(others: readonly Other[], work: () => Promise<void>): Promise<number> {
  const started = performance.now();
  const done = new AbortController();
  const working = work()
    .finally(() => done.abort())
    .then(() => (performance.now() - started) / 1000);
  const asking = others.map(async ({ ask, times }) => {
    while (!done.signal.aborted) {
      times.push(await ask());
      await Bun.sleep(PAUSE_MS);
    }
  });
  const [seconds] = await Promise.all([working, ...asking]);
  return seconds;
}

/** Requests to a small channel that does not change. */
async function reads(load: BesideLoad, method: "GET" | "HEAD", client: Client): Promise<Other> {
  const channel = `still-${method.toLowerCase()}`;
  await createPublisher(client, { ...load, channel }).publish();
  const path = documentOf(channel);
  await checked(client.call({ path }), path);
  const ask = async (): Promise<number> => await checked(client.call({ method, path }), path);
  return await warm({ what: `${method} of a small document`, ask, times: [] });
}

async function publishes(load: BesideLoad, client: Client): Promise<Other> {
  const publisher = createPublisher(client, { ...load, channel: "busy" });
  const ask = async (): Promise<number> => (await publisher.publish()).ms;
  return await warm({ what: "publish to a small channel", ask, times: [] });
}

/** Nearly every request has a new package to read. */
function readsOfPublished(client: Client): Other {
  const path = documentOf("busy");
  const ask = async (): Promise<number> => await checked(client.call({ path }), path);
  return { what: "GET of a small document that changes", ask, times: [] };
}

async function warm(other: Other): Promise<Other> {
  for (let time = 0; time < WARM_UP; time += 1) await other.ask();
  return other;
}

async function checked(call: Promise<Answer>, path: string): Promise<number> {
  const answer = await call;
  expectStatus(answer, 200, path);
  return answer.endMs;
}

function documentOf(channel: string): string {
  return `/admin/${channel}/${SUBDIR}/repodata.json.zst`;
}
