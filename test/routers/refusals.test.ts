// What refusals tell people: the problem, what to do next, and nothing that a stranger must not learn.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { jsonOf } from "../support/answers.ts";
import { startTestApp, type Actor, type TestApp } from "../support/app.ts";
import { newToken } from "../support/manage.ts";
import { buildPackage } from "../support/package-builder.ts";
import { openTables } from "../support/rows.ts";

type Body = Record<string, unknown>;

let server: TestApp;
let alice: Actor;
let stranger: Actor;
let boss: Actor;
beforeAll(async () => {
  server = await startTestApp();
  alice = await server.addUser("alice");
  stranger = await server.addUser("stranger");
  boss = await server.addUser("boss", { admin: true });
  await server.addUser("empty");
  for (const channel of ["main", "secret", "py38"]) await publish(alice, channel, "first");
  await server.manage.channels.change({ owner: "alice", channel: "secret" }, { visibility: "private" });
  await server.manage.channels.create({ owner: "alice", channel: "bare" }, {});
});
afterAll(() => server.close());

async function publish(actor: Actor, channel: string, name: string, query = ""): Promise<Body> {
  const built = buildPackage({ name, version: "1" });
  return await jsonOf(await actor.put(`/api/packages/alice/conda/${channel}/${built.fileName}${query}`, built.bytes));
}

/** Everything of a response that a client can see, except the id of the request. */
async function seen(answer: Response): Promise<string> {
  const headers = [...answer.headers].filter(([name]) => name !== "x-request-id");
  return JSON.stringify([answer.status, headers, await answer.text()]);
}

async function detailOf(answer: Response): Promise<readonly [number, string]> {
  return [answer.status, (await jsonOf<{ detail: string }>(answer)).detail];
}

describe("a publish that creates a channel", () => {
  test("says so and names similar channels, in a dry run too", async () => {
    const dry = await publish(alice, "mian", "dry", "?dry_run=true");
    expect([dry.revision, dry.channel_created, dry.similar_channels]).toEqual([null, true, ["alice/main"]]);
    const made = await publish(alice, "mian", "made");
    expect([made.revision, made.channel_created, made.similar_channels]).toEqual([1, true, ["alice/main"]]);
    const again = await publish(alice, "mian", "again");
    expect([again.channel_created, "similar_channels" in again]).toEqual([false, false]);
    const dryAgain = await publish(alice, "mian", "dry-again", "?dry_run=true");
    expect([dryAgain.channel_created, "similar_channels" in dryAgain]).toEqual([false, false]);
  });

  test("names no channel when none is similar", async () => {
    for (const channel of ["unlike", "py39"]) {
      const made = await publish(alice, channel, "made");
      expect([made.channel_created, made.similar_channels]).toEqual([true, []]);
    }
  });

  test("names at most three similar channels", async () => {
    for (const channel of ["stagea", "stageb", "stagec", "staged"]) await publish(alice, channel, "made");
    const made = await publish(alice, "stage", "made");
    expect(made.similar_channels).toEqual(["alice/stagea", "alice/stageb", "alice/stagec"]);
  });

  test("names no channel that the actor cannot read, of another owner or of another type", async () => {
    const own = await publish(alice, "secert", "own");
    expect(own.similar_channels).toEqual(["alice/secret"]);
    const limits = { user: "alice", name: "narrow", scopes: ["write:package"], channels: ["alice/s*t"] };
    const narrow = server.withToken(await newToken(server.manage, limits));
    expect((await publish(narrow, "sekrit", "narrow")).similar_channels).toEqual([]);
    expect((await publish(narrow, "secrt", "narrow")).similar_channels).toEqual(["alice/secert", "alice/secret"]);
    const bound = { user: "alice", name: "bound", scopes: ["write:package"], channels: ["alice/sxcret"] };
    const one = server.withToken(await newToken(server.manage, bound));
    expect((await publish(one, "sxcret", "bound")).similar_channels).toEqual([]);
    const built = buildPackage({ name: "elsewhere", version: "1" });
    const other = await stranger.put(`/api/packages/stranger/conda/mian/${built.fileName}`, built.bytes);
    expect(await jsonOf<Body>(other)).toMatchObject({ channel_created: true, similar_channels: [] });
  });

  test("does not count the unnamed channel as new, which every owner has", async () => {
    const built = buildPackage({ name: "unnamed", version: "1" });
    for (const query of ["?dry_run=true", ""]) {
      const answer = await stranger.put(`/api/packages/stranger/conda/${built.fileName}${query}`, built.bytes);
      const body = await jsonOf<Body>(answer);
      expect([body.channel_created, "similar_channels" in body]).toEqual([false, false]);
    }
  });
});

const READ_ADDRESS = "A channel's address is /{owner}/{channel}, or /{owner} for the owner's unnamed channel";

describe("a refused read", () => {
  test("tells a stranger the same of a private, a missing and a misspelled channel: what may be wrong, and how to sign in", async () => {
    const channels = ["/alice/secret", "/alice/no-such", "/alice/secert-2", "/nobody/main", "/nobody"];
    for (const [actor, status] of [
      [server.anonymous, 401],
      [stranger, 403],
    ] as const) {
      for (const file of ["noarch/repodata.json", "noarch/first-1-0.conda", "channeldata.json"]) {
        const answers = await Promise.all(channels.map((channel) => actor.get(`${channel}/${file}`)));
        const texts = new Set(await Promise.all(answers.map(seen)));
        expect([file, texts.size, [...texts][0]?.startsWith(`[${status},`)]).toEqual([file, 1, true]);
      }
      const [, text] = await detailOf(await actor.get("/alice/no-such/noarch/repodata.json"));
      expect(text).toContain(READ_ADDRESS);
    }
    const [, text] = await detailOf(await server.anonymous.get("/alice/no-such/noarch/repodata.json"));
    expect(text).toContain("it does not exist, or only users who sign in can read it");
    expect(text).toContain("conda the address /t/TOKEN/{owner}/{channel}, or curl the option --user NAME:TOKEN");
    expect(text.length).toBeLessThanOrEqual(430);
  });

  test("of a generic file names its address and no conda channel", async () => {
    const [status, text] = await detailOf(await server.anonymous.get("/api/packages/nobody/generic/x/1/y"));
    expect(status).toBe(401);
    expect(text).toContain("for example /api/packages/alice/generic/tool/1.0/tool.zip");
    expect(text).toContain("curl the option --user NAME:TOKEN");
    expect(text).not.toContain("conda");
  });

  test("names the channel to those who know it", async () => {
    const [status, text] = await detailOf(await alice.get("/alice/no-such/noarch/repodata.json"));
    expect([status, text]).toEqual([403, expect.stringContaining("There is no channel alice/no-such.")]);
    const [, missing] = await detailOf(await boss.get("/nobody/main/noarch/repodata.json"));
    expect(missing).toContain("There is no owner nobody.");
    expect(missing).toContain(READ_ADDRESS);
  });
});

describe("a missing file", () => {
  test("in an empty channel is explained by that, to those who can read the channel", async () => {
    for (const [path, title] of [
      ["/empty/noarch/x-1-0.conda", "the unnamed channel of empty"],
      ["/empty/noarch/nothing.json", "the unnamed channel of empty"],
      ["/empty/x", "the unnamed channel of empty"],
      ["/alice/bare/noarch/x-1-0.conda", "the channel alice/bare"],
    ] as const) {
      const [status, text] = await detailOf(await server.anonymous.get(path));
      const wanted = `There is no such file in ${title}. The channel is empty: it contains no packages. ${READ_ADDRESS}`;
      expect([path, status, text]).toEqual([path, 404, expect.stringContaining(wanted)]);
    }
  });

  test("in a channel with packages is only missing", async () => {
    const [status, text] = await detailOf(await server.anonymous.get("/alice/main/noarch/x-1-0.conda"));
    expect([status, text]).toEqual([
      404,
      expect.stringContaining("There is no such file in the channel alice/main. A"),
    ]);
    expect(text).not.toContain("empty");
  });
});

describe("the address of a channel itself", () => {
  test.each([
    ["/alice/main", "the channel alice/main", "/alice/main/noarch/repodata.json", false],
    ["/alice/bare", "the channel alice/bare", "/alice/bare/noarch/repodata.json", true],
    ["/empty", "the unnamed channel of empty", "/empty/noarch/repodata.json", true],
    ["/empty/", "the unnamed channel of empty", "/empty/noarch/repodata.json", true],
    ["/get/alice/main", "the channel alice/main", "/alice/main/noarch/repodata.json", false],
  ])("is explained where people open it: %s", async (path, title, index, isEmpty) => {
    const [status, text] = await detailOf(await server.anonymous.get(path));
    expect([status, text.includes(`This is the address of ${title}`), text.includes(index)]).toEqual([404, true, true]);
    expect(text.includes("The channel is empty")).toBe(isEmpty);
    expect((await server.anonymous.head(path)).status).toBe(404);
  });

  test("does not tell a private channel from a missing one, nor a private owner from a missing one", async () => {
    await server.addUser("hidden");
    await server.manage.channels.change({ owner: "hidden", channel: undefined }, { visibility: "private" });
    for (const actor of [server.anonymous, stranger]) {
      expect(await seen(await actor.get("/alice/secret"))).toBe(await seen(await actor.get("/alice/no-such")));
      expect(await seen(await actor.get("/hidden"))).toBe(await seen(await actor.get("/nobody")));
      expect(await seen(await actor.get("/hidden/"))).toBe(await seen(await actor.get("/nobody/")));
    }
    const [, text] = await detailOf(await alice.get("/alice/secret"));
    expect(text).toContain("This is the address of the channel alice/secret");
  });

  test("of a file that browsers look for is no owner", async () => {
    for (const path of ["/favicon.ico", "/robots.txt", "/api", "/login"]) {
      expect([path, (await server.anonymous.get(path)).status]).toEqual([path, 404]);
    }
    expect((await server.anonymous.put("/alice", new Uint8Array(1))).status).toBe(404);
  });
});

describe("a refused upload", () => {
  const { bytes } = buildPackage({ name: "tool", version: "1" });
  const HELP = "for example /api/packages/alice/conda/main/tool-1.0-0.conda.";

  test("to an owner that does not exist is refused like one without the right, with a valid address", async () => {
    const paths = ["nobody/conda/main", "alice/conda/secret", "alice/conda/no-such", "alice/conda/main"];
    for (const [actor, status] of [
      [server.anonymous, 401],
      [stranger, 403],
    ] as const) {
      const answers = new Map<string, string>();
      for (const path of paths) {
        const answer = await actor.put(`/api/packages/${path}/tool-1-0.conda`, bytes);
        expect([path, answer.status]).toEqual([path, status]);
        answers.set(path, await seen(answer));
      }
      // That a public channel exists is no secret, but its refusal names the missing role.
      if (status === 403) answers.delete("alice/conda/main");
      expect(new Set(answers.values()).size).toBe(1);
      expect([...answers.values()][0]).toContain(HELP);
    }
    const [, known] = await detailOf(await boss.put("/api/packages/nobody/conda/main/tool-1-0.conda", bytes));
    expect(known).toContain("There is no owner nobody.");
    expect(known).toContain(HELP);
  });

  test.each([
    [
      "a file name without a known extension",
      "/api/packages/alice/conda/main/tool-1-0.zip",
      400,
      "for example tool-1.0-0.conda",
    ],
    [
      "an invalid channel name",
      "/api/packages/alice/conda/Main/tool-1-0.conda",
      400,
      "A valid name is, for example, main.",
    ],
    ["a reserved channel name", "/api/packages/alice/conda/label/tool-1-0.conda", 400, '"label" is reserved'],
    ["an invalid owner name", "/api/packages/a%20b/conda/main/tool-1-0.conda", 404, HELP],
    ["an address without a file", "/api/packages/alice/conda/", 404, HELP],
    ["an owner alone", "/alice", 404, HELP],
    ["a generic file with an invalid name", "/api/packages/alice/generic/a*/1/x", 400, "/tool/1.0/tool.zip"],
  ])("with %s names the problem and a valid example", async (_, path, status, example) => {
    expect(await detailOf(await alice.put(path, bytes))).toEqual([status, expect.stringContaining(example)]);
  });

  test("of a delete names the address of a file", async () => {
    const [status, text] = await detailOf(await alice.delete("/api/packages/alice/conda/main/tool-1-0.conda"));
    expect([status, text]).toEqual([
      404,
      expect.stringContaining("/api/packages/alice/conda/main/noarch/tool-1.0-0.conda"),
    ]);
  });

  test("is logged with the rules of its findings, and any other refusal with its code", async () => {
    const truncated = bytes.slice(0, bytes.length - 30);
    await alice.put("/api/packages/alice/conda/main/broken-1-0.conda", truncated);
    await alice.put("/alice/main/noarch/renamed-1-0.conda", bytes);
    await alice.put("/api/packages/alice/conda/main/nothing-1-0.conda", null);
    const lines = server
      .log()
      .split("\n")
      .filter((line) => line.includes('"event":"publish"'));
    const rulesOf = (file: string): unknown =>
      lines.flatMap((line) => {
        const entry = JSON.parse(line) as { file: string; rules: unknown; result: string };
        return entry.file.endsWith(file) ? [entry.result, entry.rules] : [];
      });
    expect(rulesOf("/broken-1-0.conda")).toEqual(["refused", ["zip-no-end"]]);
    expect(rulesOf("/renamed-1-0.conda")).toEqual(["refused", ["file-name-mismatch"]]);
    expect(rulesOf("/nothing-1-0.conda")).toEqual(["refused", ["malformed"]]);
  });

  test("changes nothing", () => {
    const tables = openTables(server.folder);
    expect(tables.all("SELECT 1 FROM package_file WHERE package_name = 'tool'")).toEqual([]);
    tables.close();
  });
});
