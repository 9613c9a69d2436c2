// Two nodes take publishes while nodes and their database are killed: what was acknowledged must be there, on each node.

import { join } from "node:path";
import { z } from "zod";
import { createMachine, python } from "../../e2e/clients.ts";
import { below, generator } from "../history.ts";
import type { Node, Registry } from "../nodes.ts";
import { buildPackage } from "../package-builder.ts";
import { createLedger, type Item, type Ledger } from "./ledger.ts";
import { newItems, OWNER, runLoad } from "./load.ts";
import { readBack } from "./read-back.ts";
import { differences } from "./same-documents.ts";

export type NodeFaults = {
  readonly registry: Registry;
  readonly nodes: readonly [Node, Node];
  readonly token: string;
  readonly seed: number;
  /** New packages, each published until it is acknowledged; this many of them by rattler-build. */
  readonly packages: number;
  readonly ofRattlerBuild: number;
  readonly nodeKills: number;
  readonly databaseKills: number;
};

const CLIENTS = 3;
/** Packages of one call of rattler-build. */
const BATCH = 5;
const PATIENCE_MS = 60_000;
const SETTLED_MS = 3_000;

/** Returns when all packages are acknowledged and all faults are over; every node runs then. */
export async function runNodeFaults(faults: NodeFaults): Promise<Ledger> {
  const items = Array.from({ length: faults.packages }, (_, at) => newItem(at));
  const ledger = createLedger([...newItems(), ...items]);
  const end = new AbortController();
  const random = generator(faults.seed);
  // Each request goes to the other node than the one before.
  let turn = 0;
  const churn = {
    get url() {
      return faults.nodes[++turn % 2 === 0 ? 0 : 1].url;
    },
  };
  const { token, seed } = faults;
  const churning = runLoad(Object.assign(churn, { token, ledger, seed, signal: end.signal, cuts: false }));
  const queue = items.slice(faults.ofRattlerBuild);
  const publishing = Promise.all([
    ...Array.from({ length: CLIENTS }, () => publishAll(faults, ledger, queue)),
    publishByRattlerBuild(faults, ledger, items.slice(0, faults.ofRattlerBuild)),
  ]);
  try {
    await Promise.all([publishing, injectFaults(faults, ledger, random)]);
  } finally {
    end.abort();
    await churning;
  }
  // A publish that its client has given up can still commit.
  await Bun.sleep(SETTLED_MS);
  return ledger;
}

/** What the nodes lack, or show differently, after the faults. */
export async function nodeProblems(nodes: readonly Node[], ledger: Ledger): Promise<readonly string[]> {
  for (const { url } of nodes) await readBack(url, OWNER, ledger);
  const unlike: string[] = [];
  for (const channel of ledger.channels)
    unlike.push(...(await differences(nodes.map(({ url }) => `${url}/${OWNER}/${channel}`))));
  for (const node of nodes) await node.run(["verify", "--deep"]);
  return [...ledger.problems, ...unlike];
}

function newItem(at: number): Item {
  // rattler-build reads `about.json` before it uploads.
  const one = { name: `n${at}`, version: "1", info: { "about.json": {} } };
  return { channel: "main", built: buildPackage(one), impostor: buildPackage({ ...one, depends: ["other"] }) };
}

async function publishAll(faults: NodeFaults, ledger: Ledger, queue: Item[]): Promise<void> {
  for (let item = queue.shift(); item; item = queue.shift()) await publishUntilKnown(faults, ledger, item);
}

/** As a client that retries, with the other node if one does not answer. */
async function publishUntilKnown({ nodes, token }: NodeFaults, ledger: Ledger, item: Item): Promise<void> {
  const { fileName, bytes } = item.built;
  const until = performance.now() + PATIENCE_MS;
  for (let tries = Number.parseInt(fileName.slice(1), 10); performance.now() < until; tries++) {
    const url = `${nodes[tries % 2 === 0 ? 0 : 1].url}/api/packages/${OWNER}/conda/${item.channel}/${fileName}`;
    const headers = { authorization: `Bearer ${token}` };
    const status = await fetch(url, { method: "PUT", headers, body: bytes.slice() }).then(
      async (answer) => (await answer.bytes(), answer.status),
      () => "broken" as const,
    );
    ledger.count("new", status);
    if (status === 201 || status === 409) {
      ledger.learn(item, status === 201 ? "absent" : "present", `an answer of ${status}`);
      return ledger.change(item, "present");
    }
    if (status !== "broken" && status < 500) break;
    ledger.change(item, "unknown");
    await Bun.sleep(20);
  }
  ledger.problems.push(`${fileName} could not be published`);
}

/** rattler-build gives up at a server that dies: the packages of such a call are published again. */
async function publishByRattlerBuild(faults: NodeFaults, ledger: Ledger, items: readonly Item[]): Promise<void> {
  const machine = await createMachine();
  try {
    for (let at = 0; at < items.length; at += BATCH) {
      const batch = items.slice(at, at + BATCH);
      const paths = batch.map(({ built }) => join(machine.home, built.fileName));
      await Promise.all(batch.map(({ built }, index) => Bun.write(paths[index] ?? "", built.bytes)));
      const node = faults.nodes[(at / BATCH) % 2 === 0 ? 0 : 1];
      const args = [`${node.url}/api/packages/${OWNER}/conda`, "main", faults.token, ...paths];
      const uploaded = z.object({ uploaded: z.literal(batch.length) });
      const isDone = await python("upload_artifactory.py", args, uploaded, machine).then(
        () => true,
        () => false,
      );
      ledger.count("rattler-build", isDone ? 201 : "broken");
      for (const item of batch) {
        ledger.change(item, isDone ? "present" : "unknown");
        if (!isDone) await publishUntilKnown(faults, ledger, item);
      }
    }
  } finally {
    await machine.remove();
  }
}

async function injectFaults(faults: NodeFaults, ledger: Ledger, random: () => number): Promise<void> {
  const { nodes, registry, nodeKills, databaseKills } = faults;
  const every = Math.ceil(nodeKills / (databaseKills + 1));
  for (let kill = 1; kill <= nodeKills; kill++) {
    await progress(ledger, 5);
    await Bun.sleep(below(random, 300));
    const node = nodes[kill % 2 === 0 ? 0 : 1];
    await node.end("SIGKILL");
    await Bun.sleep(below(random, 300));
    if (kill % every === 0 && kill / every <= databaseKills) {
      await (kill % 2 === 0 ? registry.postgres.kill() : registry.postgres.stop("immediate"));
      await Bun.sleep(below(random, 1000));
      await registry.postgres.start();
    }
    await node.start();
  }
  await progress(ledger, 5);
}

/** Waits for this many more acknowledged publishes, whatever the speed of the machine. */
async function progress({ answers, problems }: Ledger, count: number): Promise<void> {
  const published = (): number => answers.get("publish 201") ?? 0;
  const enough = published() + count;
  for (const until = performance.now() + PATIENCE_MS; published() < enough; await Bun.sleep(10)) {
    if (problems.length > 0) return;
    if (performance.now() > until) throw new Error("the nodes take no publishes");
  }
}
