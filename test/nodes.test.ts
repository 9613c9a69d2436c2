// Two nodes on one PostgreSQL and one bucket: the short run of `bun run nightly nodes`.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { haveClients } from "./e2e/clients.ts";
import { OWNER } from "./support/faulted/load.ts";
import { nodeProblems, runNodeFaults } from "./support/faulted/node-faults.ts";
import { differences } from "./support/faulted/same-documents.ts";
import { addUser, createRegistry, type Node, type Registry } from "./support/nodes.ts";
import { hasPostgres } from "./support/postgres.ts";
import { readYourWrites } from "./support/read-your-writes.ts";
import { hasVersitygw } from "./support/versitygw.ts";

const SEED = Number(process.env["CONDARIUM_TEST_SEED"] ?? crypto.getRandomValues(new Uint16Array(1))[0]);
const canRun = hasPostgres("equal nodes") && hasVersitygw("equal nodes");

describe.skipIf(!canRun)("two nodes on one PostgreSQL and one bucket", () => {
  let registry: Registry;
  let nodes: readonly [Node, Node];
  let token: string;
  beforeAll(async () => {
    registry = await createRegistry();
    nodes = [await registry.addNode(), await registry.addNode()];
    for (const node of nodes) await node.start();
    token = await addUser(nodes[0], OWNER);
  });
  afterAll(() => registry.close());

  test("show on each what was acknowledged by the other, in every document, and never answer 304 to an old ETag", async () => {
    const urls = [nodes[0].url, nodes[1].url] as const;
    // Small channels, because each round has every document built.
    for (let at = 0; at < 10; at++) {
      const channel = `turns-${at}`;
      expect(await readYourWrites({ urls, owner: OWNER, channel, token, rounds: 20 })).toEqual([]);
      expect(await differences(urls.map((url) => `${url}/${OWNER}/${channel}`))).toEqual([]);
    }
  });

  test("lose nothing and give the same bytes while nodes and the database are killed under publishes", async () => {
    console.log(`CONDARIUM_TEST_SEED=${SEED} repeats the faults`);
    const ofRattlerBuild = (await haveClients()) ? 30 : 0;
    const sizes = { packages: 100, ofRattlerBuild, nodeKills: 3, databaseKills: 1 };
    const ledger = await runNodeFaults({ registry, nodes, token, seed: SEED, ...sizes });
    expect(await nodeProblems(nodes, ledger)).toEqual([]);
    // Faults that no client has met would prove nothing.
    const met = ["new 201", "publish 201", "new broken", ...(ofRattlerBuild > 0 ? ["rattler-build 201"] : [])];
    expect(met.filter((answer) => !ledger.answers.has(answer))).toEqual([]);
  });
});
