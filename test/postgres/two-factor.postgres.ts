// Two-factor authentication on two servers of one database: a code counts once on both, and older releases keep out.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SCHEMA_NUMBER } from "../../src/models/sqlite/migrations.ts";
import { basic, PASSWORD } from "../support/app.ts";
import { createBucket } from "../support/engines.ts";
import { startPostgres, type Postgres } from "../support/postgres.ts";
import { startNode, type Node } from "../support/postgres-node.ts";
import { condarium } from "../support/server-process.ts";
import { authenticator, type App } from "../support/two-factor.ts";

let postgres: Postgres;
let url: string;
let nodes: readonly [Node, Node];
let app: App;
let recoveryCodes: string[];

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

const sql = (text: string): Promise<Record<string, unknown>[]> => postgres.asSuperuser(url, text);
const minReader = async (of = url): Promise<unknown> =>
  (await postgres.asSuperuser(of, "SELECT max(min_reader)::int AS needed FROM schema_migration"))[0]?.["needed"];

async function post(node: Node, path: string, body: object = {}): Promise<{ status: number; json: unknown }> {
  const address = /"address":"([^"]+)"/.exec(node.process.stderr())?.[1] ?? "";
  const headers = { ...basic("user", PASSWORD), "content-type": "application/json" };
  const answer = await fetch(`http://${address}/api/v1${path}`, {
    method: "POST",
    headers,
    body: JSON.stringify(body),
  });
  return { status: answer.status, json: await answer.json() };
}

const statusesOf = async (count: number, code: string): Promise<number[]> =>
  await Promise.all(
    Array.from({ length: count }, async (_, at) => {
      const node = nodes[at % 2 === 0 ? 0 : 1];
      return (await node.get("/metrics", { ...basic("user", PASSWORD), "x-gitea-otp": code })).status;
    }),
  );

test("it cannot be turned on while an older server runs, and raises what a server must know when it is", async () => {
  const leases = await sql("SELECT holder FROM lease WHERE name = 'node'");
  expect(leases.map(({ holder }) => String(holder).split(" ")[0])).toEqual([`${SCHEMA_NUMBER}`, `${SCHEMA_NUMBER}`]);
  await sql("INSERT INTO lease VALUES ('node', '7 old', (extract(epoch from now()) * 1000)::bigint + 600000)");
  expect((await post(nodes[0], "/user/two-factor")).status).toBe(409);
  await sql("DELETE FROM lease WHERE holder = '7 old'");
  const begun = await post(nodes[0], "/user/two-factor");
  app = authenticator((begun.json as { uri: string }).uri, Date.now);
  expect([begun.status, await minReader()]).toEqual([201, 1]);
  const confirmed = await post(nodes[1], "/user/two-factor/confirm", { code: app.code() });
  recoveryCodes = (confirmed.json as { recovery_codes: string[] }).recovery_codes;
  expect([confirmed.status, recoveryCodes.length, await minReader()]).toEqual([200, 10, 8]);
});

test("a code counts once on both servers, whoever sends it how often", async () => {
  // The code of the present step may have confirmed it. The user is no administrator, so an accepted login is 403.
  const statuses = await statusesOf(20, app.code(1));
  expect(statuses.filter((status) => status === 403)).toHaveLength(1);
  expect(statuses.filter((status) => status === 401)).toHaveLength(19);
});

test("a recovery code counts once on both servers, and is in the audit trail once", async () => {
  const statuses = await statusesOf(6, recoveryCodes[0] ?? "");
  expect(statuses.filter((status) => status === 403)).toHaveLength(1);
  expect(statuses.filter((status) => status === 401)).toHaveLength(5);
  const rows = await sql("SELECT actor, detail FROM audit_event WHERE action = 'two-factor.recovery'");
  expect(rows).toEqual([{ actor: "user", detail: '{"left":9}' }]);
});

test("a restored database can be used by no older release", async () => {
  const room = await mkdtemp(join(tmpdir(), "condarium-two-factor-"));
  try {
    expect((await nodes[0].run(["backup", join(room, "backup")])).code).toBe(0);
    const copy = await postgres.createDatabase();
    const args = ["restore", join(room, "backup"), "--data", join(room, "data"), "--database", copy];
    const { code, stderr } = await condarium(args);
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    expect(await minReader(copy)).toBe(8);
  } finally {
    await rm(room, { recursive: true, force: true });
  }
});
