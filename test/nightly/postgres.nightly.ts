// Two servers on one PostgreSQL for a long time: 500 rounds of reading what the other has acknowledged, faults under
// load, and a server and the database that are killed again and again.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { documentPaths } from "../support/documents.ts";
import { createBucket, type Bucket } from "../support/engines.ts";
import { startPostgres, type Postgres } from "../support/postgres.ts";
import { freshPackage, startNode, type Answered, type Node } from "../support/postgres-node.ts";

let postgres: Postgres;
let url: string;
let bucket: Bucket;
let nodes: [Node, Node];

beforeAll(async () => {
  postgres = await startPostgres();
  url = await postgres.createDatabase();
  bucket = await createBucket();
  nodes = [await startNode(url, bucket), await startNode(url, bucket)];
  await nodes[0].addUser();
});
afterAll(async () => {
  postgres.thaw();
  for (const node of nodes) await node[Symbol.asyncDispose]();
  await postgres.close();
});

const DOCUMENTS = ["repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst", "current_repodata.json"];

test("500 changes on either server show in a document of the other at once", async () => {
  const listed = new Set<string>();
  const tags = new Map<string, string>();
  const isFirst = () => Math.random() < 0.5;
  for (let round = 0; round < 500; round++) {
    const [one, other] = isFirst() ? nodes : nodes.toReversed();
    const built = freshPackage();
    expect((await one?.publish(built))?.status).toBe(201);
    listed.add(built.fileName);
    const path = `/user/main/noarch/${DOCUMENTS[round % DOCUMENTS.length]}`;
    const answer = await other?.get(path, { "if-none-match": tags.get(path) ?? '"none"' });
    expect([round, path, answer?.status]).toEqual([round, path, 200]);
    tags.set(path, answer?.etag ?? "");
    expect((await other?.get(path, { "if-none-match": answer?.etag ?? "" }))?.status).toBe(304);
    if (isFirst()) expect(await other?.listed()).toEqual([...listed].sort());
  }
  await expectSameBytes(["main"]);
});

test("a database that is frozen for 30 s keeps no request longer than ten seconds", async () => {
  const load = startLoad();
  await Bun.sleep(1000);
  postgres.freeze();
  await Bun.sleep(30_000);
  postgres.thaw();
  await load.stop();
});

test("while a server is killed ten times and the database five times, nothing acknowledged is lost", async () => {
  const load = startLoad();
  for (let round = 0; round < 10; round++) {
    await Bun.sleep(1000);
    await nodes[1][Symbol.asyncDispose]();
    nodes[1] = await startNode(url, bucket);
    if (round % 2 === 0) continue;
    await postgres.kill();
    await Bun.sleep(500);
    await postgres.start();
  }
  await load.stop();
});

/** Publishes through both servers until it is stopped; then each acknowledged file is in the documents of both. */
function startLoad() {
  const stopping = new AbortController();
  const acknowledged: string[] = [];
  const refused: Answered[] = [];
  const writer = async (at: number): Promise<void> => {
    const channel = `load-${at % 3}`;
    while (!stopping.signal.aborted) {
      const built = freshPackage();
      const answer = await nodes[at % 2 === 0 ? 0 : 1].publish(built, channel).catch(requireBroken);
      if (answer?.status === 201) acknowledged.push(`${channel}/${built.fileName}`);
      else if (answer) refused.push(answer);
      if (answer?.status !== 201) await Bun.sleep(50);
    }
  };
  const running = Promise.all(Array.from({ length: 6 }, (_, at) => writer(at)));
  return {
    stop: async (): Promise<void> => {
      await Bun.sleep(10_000);
      stopping.abort();
      await running;
      for (const { status, ms, text } of refused) expect([status, ms < 10_000, text]).toEqual([503, true, text]);
      for (const node of nodes) {
        const names: string[] = [];
        for (const channel of ["load-0", "load-1", "load-2"])
          names.push(...(await node.listed(channel)).map((name) => `${channel}/${name}`));
        const all = new Set(names);
        expect(acknowledged.filter((name) => !all.has(name))).toEqual([]);
      }
      expect(acknowledged.length).toBeGreaterThan(50);
      await expectSameBytes(["load-0", "load-1", "load-2"]);
    },
  };
}

/** The connection to a server that is killed breaks; a request that hangs until the client gives up is a fault. */
function requireBroken(error: unknown): undefined {
  if (error instanceof Error && error.name === "TimeoutError") throw error;
  return undefined;
}

async function expectSameBytes(channels: readonly string[]): Promise<void> {
  for (const path of channels.flatMap((channel) => documentPaths("noarch").map((name) => `${channel}/${name}`))) {
    const [one, other] = await Promise.all(nodes.map((node) => node.get(`/user/${path}`)));
    expect([path, one?.status, one?.etag, one?.text === other?.text]).toEqual([path, 200, other?.etag, true]);
  }
}
