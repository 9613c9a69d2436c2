// Two servers on one database: what one has acknowledged, the other shows, in the same bytes.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { documentPaths } from "../support/documents.ts";
import { createBucket } from "../support/engines.ts";
import { buildPackage } from "../support/package-builder.ts";
import { startPostgres, type Postgres } from "../support/postgres.ts";
import { freshPackage, startNode, type Node } from "../support/postgres-node.ts";

let postgres: Postgres;
let url: string;
let nodes: readonly [Node, Node];

beforeAll(async () => {
  postgres = await startPostgres();
  url = await postgres.createDatabase();
  const bucket = await createBucket();
  nodes = [await startNode(url, bucket), await startNode(url, bucket)];
  await nodes[0].addUser();
});
afterAll(async () => {
  for (const node of nodes) await node[Symbol.asyncDispose]();
  await postgres.close();
});

const DOCUMENTS = ["repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst", "current_repodata.json"];

describe("a change on one server", () => {
  test("shows in each document of the other at once, and an old tag never counts", async () => {
    const listed = new Set<string>();
    const tags = new Map<string, string>();
    for (let round = 0; round < 40; round++) {
      const [one, other] = round % 3 === 0 ? nodes : [nodes[1], nodes[0]];
      const built = freshPackage();
      expect((await one.publish(built)).status).toBe(201);
      listed.add(built.fileName);
      const name = DOCUMENTS[round % DOCUMENTS.length] ?? "";
      const path = `/user/main/noarch/${name}`;
      const answer = await other.get(path, { "if-none-match": tags.get(path) ?? '"none"' });
      expect([round, name, answer.status]).toEqual([round, name, 200]);
      tags.set(path, answer.etag);
      expect(await other.listed()).toEqual([...listed].sort());
      // The same request again comes from memory, and another one for a published change does not.
      expect((await other.get(path, { "if-none-match": answer.etag })).status).toBe(304);
      expect((await one.get(path)).etag).toBe(answer.etag);
    }
  });

  test("has the same bytes and tags in every document of both", async () => {
    for (const path of documentPaths("noarch")) {
      const [one, other] = await Promise.all(nodes.map((node) => node.get(`/user/main/${path}`)));
      expect([path, one?.status]).toEqual([path, 200]);
      expect([path, one?.etag, one?.text === other?.text]).toEqual([path, other?.etag, true]);
    }
  });

  test("that deletes is seen by the other at once", async () => {
    const built = freshPackage();
    expect((await nodes[0].publish(built)).status).toBe(201);
    expect(await nodes[1].listed()).toContain(built.fileName);
    expect((await nodes[1].remove(built)).status).toBe(204);
    for (const node of nodes) expect(await node.listed()).not.toContain(built.fileName);
  });
});

describe("ten writers on two servers", () => {
  const all = <T>(work: (node: Node, at: number) => Promise<T>) =>
    Promise.all(Array.from({ length: 10 }, (_, at) => work(nodes[at % 2 === 0 ? 0 : 1], at)));

  test("that publish first into the same new channel all succeed, and make one channel", async () => {
    for (let round = 0; round < 4; round++) {
      const channel = `fresh-${round}`;
      const packages = Array.from({ length: 10 }, () => freshPackage());
      const answers = await all((node, at) => node.publish(packages[at] ?? freshPackage(), channel));
      expect(answers.map(({ status }) => status)).toEqual(Array<number>(10).fill(201));
      for (const node of nodes)
        expect(await node.listed(channel)).toEqual(packages.map(({ fileName }) => fileName).sort());
      const rows = await postgres.asSuperuser(url, `SELECT revision::int FROM channel WHERE name = '${channel}'`);
      expect(rows).toEqual([{ revision: 10 }]);
    }
  });

  test("that publish the same file get one 201, and 409 that says the file is identical", async () => {
    for (let round = 0; round < 5; round++) {
      const built = freshPackage();
      const answers = await all((node) => node.publish(built));
      expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array<number>(9).fill(409)]);
      const refused = answers.filter(({ status }) => status === 409).map(({ text }) => JSON.parse(text) as object);
      for (const body of refused) expect(body).toMatchObject({ identical: true });
    }
  });

  test("that publish other bytes under the same name get one 201, and 409 for the rest", async () => {
    const packages = Array.from({ length: 10 }, (_, at) =>
      buildPackage({ name: "contested", version: "1", summary: `of ${at}` }),
    );
    const answers = await all((node, at) => node.publish(packages[at] ?? freshPackage()));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array<number>(9).fill(409)]);
    const winner = packages[answers.findIndex(({ status }) => status === 201)];
    const { text } = await nodes[1].get("/user/main/noarch/repodata.json");
    const { "packages.conda": records } = JSON.parse(text) as { "packages.conda": Record<string, { sha256: string }> };
    expect(records["contested-1-0.conda"]?.sha256).toBe(winner?.sha256 ?? "");
  });
});
