// A separate process: publishes packages one by one, reads a document after each, and prints the times.

import { decode } from "@msgpack/msgpack";
import { z } from "zod";

import { answerParent } from "./child.ts";
import { type Client, connectTo, expectStatus } from "./client.ts";
import { SHARDS, whyAbsent } from "./documents.ts";
import { createPublisher } from "./publisher.ts";

const loadShape = z.object({
  url: z.string(),
  /** The server that is read; the same one unless given. */
  readUrl: z.string().optional(),
  token: z.string(),
  series: z.string(),
  /** Without it the process reads nothing. */
  document: z.object({ name: z.string(), path: z.string(), isLimited: z.boolean().optional() }).optional(),
  publishes: z.number(),
  /** Ends after this many once they have taken longer than `budgetMs`. */
  least: z.number(),
  budgetMs: z.number(),
});

/** ms of each; a read starts after the response to the publish. */
export const timesShape = z.object({
  publish: z.array(z.number()),
  /** Until the end of the body; where there are shards, of the shard that is read after the index. */
  read: z.array(z.number()),
  /** Until the end of the head; where there are shards, of the index alone. */
  first: z.array(z.number()),
  /** Why the channel does not offer the document. */
  absent: z.string().optional(),
});

const indexShape = z.object({
  info: z.object({ shards_base_url: z.string() }),
  shards: z.record(z.string(), z.instanceof(Uint8Array)),
});
const shardShape = z.object({ "packages.conda": z.record(z.string(), z.unknown()) });

export type PublishAndReadLoad = z.infer<typeof loadShape>;
export type PublishAndReadTimes = z.infer<typeof timesShape>;

type Document = NonNullable<PublishAndReadLoad["document"]>;
type Package = { readonly name: string; readonly fileName: string };

if (import.meta.main) await answerParent(loadShape, run);

async function run(load: PublishAndReadLoad): Promise<PublishAndReadTimes> {
  const { document, series, token } = load;
  const reader = await connectTo(load.readUrl ?? load.url);
  const times: PublishAndReadTimes = { publish: [], read: [], first: [] };
  const absent = document && (await firstRead(reader, document));
  if (absent !== undefined) return { ...times, absent };
  // A connection that is open during the first read can be closed as unused.
  const client = load.readUrl === undefined ? reader : await connectTo(load.url);
  const publisher = createPublisher(client, { token, series, channel: "main" });
  const started = performance.now();
  let newest: Package | undefined;
  for (let at = 0; at < load.publishes; at += 1) {
    if (at >= load.least && performance.now() - started > load.budgetMs) break;
    const { ms, ...published } = await publisher.publish();
    newest = published;
    times.publish.push(ms);
    if (!document) continue;
    const { read, first } = await readAfter(reader, document, published);
    times.read.push(read);
    times.first.push(first);
  }
  if (document && newest) await requireIn(reader, document, newest);
  await publisher.remove();
  return times;
}

/** Builds the document, so that the measured time is what a publish adds. */
async function firstRead(client: Client, document: Document): Promise<string | undefined> {
  const answer = await client.call({ path: document.path });
  const absent = whyAbsent(document, answer);
  if (absent === undefined) expectStatus(answer, 200, document.path);
  return absent;
}

async function readAfter(client: Client, document: Document, made: Package): Promise<{ read: number; first: number }> {
  if (document.name === SHARDS.name) return await readShard(client, document, made);
  const answer = await client.call({ path: document.path });
  expectStatus(answer, 200, document.path);
  return { read: answer.endMs, first: answer.headMs };
}

/** Reads the index and the shard of the new name in it; unpacking does not count. */
async function readShard(client: Client, { path }: Document, made: Package): Promise<{ read: number; first: number }> {
  const index = await client.call({ path, keep: true });
  expectStatus(index, 200, path);
  const { info, shards } = indexShape.parse(decode(await Bun.zstdDecompress(index.body)));
  const hash = shards[made.name];
  if (!hash) throw new Error(`the index of shards lacks ${made.name} after its publish`);
  const file = `${info.shards_base_url}${Buffer.from(hash).toString("hex")}.msgpack.zst`;
  const place = new URL(file, `http://localhost${path}`).pathname;
  const shard = await client.call({ path: place, keep: true });
  expectStatus(shard, 200, place);
  const { "packages.conda": entries } = shardShape.parse(decode(await Bun.zstdDecompress(shard.body)));
  if (!entries[made.fileName]) throw new Error(`the shard of ${made.name} lacks ${made.fileName} after its publish`);
  return { read: index.endMs + shard.endMs, first: index.endMs };
}

/** This process cannot decompress bzip2. */
async function requireIn(client: Client, { name, path }: Document, made: Package): Promise<void> {
  if (name === SHARDS.name || name.endsWith(".bz2")) return;
  const answer = await client.call({ path, keep: true });
  expectStatus(answer, 200, path);
  const text = name.endsWith(".zst") ? await Bun.zstdDecompress(answer.body) : Buffer.from(answer.body);
  if (!text.includes(made.name)) throw new Error(`${name} lacks ${made.name} after its publish`);
}
