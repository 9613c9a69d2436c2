// Two nodes on one PostgreSQL and one bucket take 2,000 publishes while they and the database are killed.
// `CONDARIUM_TEST_SEED` repeats the faults.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { haveClients } from "../e2e/clients.ts";
import { OWNER } from "../support/faulted/load.ts";
import { nodeProblems, runNodeFaults } from "../support/faulted/node-faults.ts";
import { startTwoNodes, type Node, type Registry } from "../support/nodes.ts";
import { hasPostgres } from "../support/postgres.ts";
import { readYourWrites } from "../support/read-your-writes.ts";
import { hasVersitygw } from "../support/versitygw.ts";

const SEED = Number(process.env["CONDARIUM_TEST_SEED"] ?? crypto.getRandomValues(new Uint16Array(1))[0]);
const canRun = hasPostgres("equal nodes at night") && hasVersitygw("equal nodes at night");

describe.skipIf(!canRun)("two nodes on one PostgreSQL and one bucket", () => {
  let registry: Registry;
  let nodes: readonly [Node, Node];
  let token: string;
  beforeAll(async () => {
    ({ registry, nodes, token } = await startTwoNodes(OWNER));
  });
  afterAll(() => registry.close());

  test("lose none of 2,000 publishes while a node is killed ten times and the database twice", async () => {
    console.log(`CONDARIUM_TEST_SEED=${SEED} repeats the faults`);
    const ofRattlerBuild = (await haveClients()) ? 500 : 0;
    const sizes = { packages: 2000, ofRattlerBuild, nodeKills: 10, databaseKills: 2 };
    const ledger = await runNodeFaults({ registry, nodes, token, seed: SEED, ...sizes });
    expect(await nodeProblems(nodes, ledger)).toEqual([]);
    console.log(`answers: ${JSON.stringify([...ledger.answers])}`);
  });

  test("show on each what was acknowledged by the other, 2,000 times", async () => {
    const urls = [nodes[0].url, nodes[1].url] as const;
    for (let at = 0; at < 40; at++) {
      const channel = `turns-${at}`;
      expect(await readYourWrites({ urls, owner: OWNER, channel, token, rounds: 50 })).toEqual([]);
    }
  });
});
