// The retention of the audit trail: the collector deletes what is older, in batches, and nothing else does.

import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { startTestApp, type TestApp } from "../../support/app.ts";
import { runHere } from "../../support/run-here.ts";
import { statementsOf, type Statements } from "../../support/statements.ts";

setDefaultTimeout(60_000);

const DAY = 24 * 60 * 60 * 1000;
let server: TestApp;
let statements: Statements;

beforeEach(async () => {
  server = await startTestApp();
  statements = await statementsOf(server);
});
afterEach(() => server.close());

async function insert(count: number, age: number, target: string): Promise<void> {
  const row = `(${Date.now() - age}, 'somebody', 'publish', '${target}', 'x')`;
  const rows = Array.from({ length: count }, () => row).join(", ");
  await statements.all(`INSERT INTO audit_event (at, actor, action, target, subject) VALUES ${rows}`);
}

const left = async () =>
  (await statements.all("SELECT target, count(*) AS n FROM audit_event GROUP BY target ORDER BY target")).map(
    ({ target, n }) => `${Number(n)} ${String(target)}`,
  );

test("events older than audit-days are deleted, and those of the last days kept, wherever they are in the trail", async () => {
  await insert(1500, 401 * DAY, "old");
  await insert(10, 399 * DAY, "young");
  await insert(20, 401 * DAY, "behind");
  await insert(1, 0, "new");
  const { auditEvents } = await server.app.gc({ graceMs: DAY, auditMs: 400 * DAY });
  expect(auditEvents).toBe(1520);
  expect(await left()).toEqual(["1 new", "10 young"]);
  expect((await server.app.gc({ graceMs: DAY, auditMs: 400 * DAY })).auditEvents).toBe(0);
});

test("the command takes the setting, and a dry run deletes nothing", async () => {
  await insert(3, 3 * DAY, "old");
  await insert(2, DAY, "young");
  const gc = async (...args: string[]) => {
    const notes: string[] = [];
    const output = { line: () => {}, rows: () => {}, note: (text: string) => void notes.push(text) };
    expect(await runHere(["gc", ...args, "--data", server.folder], output)).toBe(0);
    return notes.join(" ");
  };
  expect(await gc("--audit-days", "2", "--dry-run")).toContain("3 old events of the audit trail would be deleted.");
  expect(await gc()).not.toContain("audit");
  expect(await left()).toEqual(["3 old", "2 young"]);
  expect(await gc("--audit-days", "2")).toContain("3 old events of the audit trail were deleted.");
  expect(await left()).toEqual(["2 young"]);
});

test("the server deletes them by itself, with its own setting", async () => {
  await server.close();
  server = await startTestApp({ settings: { "gc-interval": "1s", "audit-days": "2" } });
  statements = await statementsOf(server);
  await insert(3, 3 * DAY, "old");
  await insert(2, DAY, "young");
  for (let waited = 0; waited < 300 && (await left()).length > 1; waited += 1) await Bun.sleep(100);
  expect(await left()).toEqual(["2 young"]);
});
