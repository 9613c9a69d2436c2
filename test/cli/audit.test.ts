// condarium audit and quarantine, on either engine.

import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { COMMAND_LINE } from "../../src/services/actor.ts";
import { startTestApp, type TestApp } from "../support/app.ts";
import { runHere } from "../support/run-here.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { statementsOf } from "../support/statements.ts";

setDefaultTimeout(60_000);

let server: TestApp;
let id = "";
const [one, two] = ["one", "two"].map((name) => buildPackage({ name, version: "1" }));
if (!one || !two) throw new Error("there are no packages");

beforeAll(async () => {
  server = await startTestApp();
  await server.addUser("alice");
  const token = await newToken(server.manage, { user: "alice", name: "ci", scopes: ["write:package"] });
  for (const built of [one, two]) {
    const put = server.withToken(token).put(`/api/packages/alice/conda/main/${built.fileName}`, built.bytes);
    expect((await put).status).toBe(201);
  }
  expect((await server.as("alice").put(`/api/packages/alice/conda/${one.fileName}`, one.bytes)).status).toBe(201);
  expect((await server.as("alice").put("/api/packages/alice/generic/tool/1/tool.bin", two.bytes)).status).toBe(201);
  id = String(await (await statementsOf(server)).count("SELECT id FROM access_token"));
});
beforeEach(async () => {
  for (const { sha256 } of [one, two])
    await server.app.quarantines.releaseAll(COMMAND_LINE, { sha256 }, { dryRun: false });
});
afterAll(() => server.close());

async function cli(...args: string[]): Promise<{ code: number; lines: string[]; notes: string[]; rows: unknown }> {
  const lines: string[] = [];
  const notes: string[] = [];
  let rows: unknown;
  const code = await runHere([...args, "--data", server.folder], {
    line: (text) => void lines.push(text),
    note: (text) => void notes.push(text),
    rows: (all) => void (rows = all),
  });
  return { code, lines, notes, rows };
}

const file = (built = one, channel = "main") => `alice/${channel}/noarch/${built.fileName}`;
const states = async () =>
  await Promise.all(
    ["/alice/main", "/alice"].map(
      async (channel) => (await server.as("alice").get(`${channel}/noarch/${one.fileName}`)).status,
    ),
  );

describe("condarium audit", () => {
  test("prints a line for each event, oldest first, and lines of JSON with --json", async () => {
    const { code, lines } = await cli("audit", "--action", "publish", "--actor", "alice");
    expect([code, lines.length]).toEqual([0, 4]);
    expect(lines[0]).toMatch(
      /^20\S+Z {2}alice \(token ci\) from 192\.0\.2\.1: publish alice\/main\/noarch\/one-1-0\.conda {2}\{"sha256"/,
    );
    const json = await cli("audit", "--action", "publish", "--owner", "alice", "--json");
    const events = json.lines.map((line) => JSON.parse(line) as { cursor: string; target: string });
    expect(events.map(({ target }) => target)).toEqual([
      file(),
      file(two),
      file(one, "-"),
      "generic:alice/-/tool/1/tool.bin",
    ]);
    const rest = await cli("audit", "--action", "publish", "--since", events[2]?.cursor ?? "", "--json");
    expect(rest.lines).toEqual(json.lines.slice(3));
    expect((await cli("audit", "--since", "2999-01-31")).lines).toEqual([]);
  });

  test("with a since that is none ends with exit code 2", async () => {
    const { code, lines, notes } = await cli("audit", "--since", "yesterday");
    expect([code, lines, notes.join()]).toEqual([2, [], expect.stringContaining("2026-01-31T12:00:00Z")]);
  });
});

describe("condarium quarantine", () => {
  test("of a file, also in an unnamed channel, takes this file alone, until it is released", async () => {
    expect((await cli("quarantine", file(), "--reason", "malware")).code).toBe(0);
    expect(await states()).toEqual([403, 200]);
    expect((await cli("quarantine", file(one, "-"), "--reason", "malware")).code).toBe(0);
    expect(await states()).toEqual([403, 403]);
    const { rows } = await cli("quarantine", "--list");
    expect(rows).toEqual([
      expect.objectContaining({ channel: "alice/main", file: one.fileName, reason: "malware", scope: "server" }),
      expect.objectContaining({ channel: "alice/-", file: one.fileName, sha256: one.sha256 }),
    ]);
    expect((await cli("quarantine", "--release", file())).code).toBe(0);
    expect(await states()).toEqual([200, 403]);
  });

  test("of a file of another type is written as its channel is", async () => {
    expect((await cli("quarantine", "generic:alice/-/tool/1/tool.bin", "--reason", "malware")).code).toBe(0);
    expect((await server.as("alice").get("/api/packages/alice/generic/tool/1/tool.bin")).status).toBe(403);
  });

  test("by a token takes copies too; --dry-run only counts them", async () => {
    const expected = [
      { channel: "alice/main", files: 2 },
      { channel: "alice/-", files: 1 },
      { channel: "generic:alice/-", files: 1 },
    ];
    const dry = await cli("quarantine", "--token", id, "--reason", "leaked", "--dry-run");
    expect([dry.code, dry.rows, await states()]).toEqual([
      0,
      expected.map((row) => ({ ...row, revision: null })),
      [200, 200],
    ]);
    const { rows, notes } = await cli("quarantine", "--token", id, "--reason", "leaked");
    expect(rows).toEqual(expected.map((row) => ({ ...row, revision: expect.any(Number) })));
    expect(notes[0]).toBe("4 files quarantined.");
    expect(notes.join()).toContain("revoke it");
    expect(await states()).toEqual([403, 403]);
    const released = await cli("quarantine", "--release", "--token", id);
    expect([released.notes, await states()]).toEqual([["4 files released."], [200, 200]]);
  });

  test("by a user since a time, or by bytes, takes those alone", async () => {
    expect((await cli("quarantine", "--user", "alice", "--since", "2999-01-31", "--reason", "r")).notes).toEqual([
      "0 files quarantined.",
    ]);
    expect((await cli("quarantine", "--sha256", one.sha256, "--reason", "r")).notes).toEqual(["2 files quarantined."]);
    expect((await server.as("alice").get(`/alice/main/noarch/${two.fileName}`)).status).toBe(200);
  });

  test.each([
    [["--reason", "r"]],
    [["alice/main/noarch/x.conda"]],
    [["x.conda", "--reason", "r"]],
    [["alice/noarch/x.conda", "--reason", "r"]],
    [["--token", "ci", "--reason", "r"]],
    [["--token", "1", "--user", "alice", "--reason", "r"]],
    [["--list", "--user", "alice"]],
    [["--user", "alice", "--since", "yesterday", "--reason", "r"]],
    [["alice/main/noarch/x.conda", "--reason", "r", "--dry-run"]],
    [["--user", "alice", "--reason", " "]],
  ])("%j is refused with exit code 2, and changes nothing", async (args) => {
    const { code } = await cli("quarantine", ...args);
    expect([code, (await cli("quarantine", "--list")).rows]).toEqual([2, []]);
  });
});
