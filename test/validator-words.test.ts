// The validation library's own words ("expected string, received undefined") say nothing to people: no command, no
// setting and no response has them.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { loadConfig, SETTING_NAMES } from "../src/config.ts";
import { AppError } from "../src/errors.ts";
import { parseContent } from "../src/services/storage/backup-format.ts";
import { caseName } from "./support/case-name.ts";
import { startTestApp, type Actor, type TestApp } from "./support/app.ts";
import { buildPackage } from "./support/package-builder.ts";
import { openTables } from "./support/rows.ts";
import { runHere } from "./support/run-here.ts";

const WORDS =
  /✖|→|invalid (?:input|option|string|element|key|type)\b|too (?:big|small)\b|\bexpected\b|\breceived\b|unrecognized|\bzod\b/i;
const VALUES = [
  "",
  " ",
  "-1",
  "1.5",
  "NaN",
  "null",
  "[]",
  '{"a":1}',
  "99999999999999999999",
  "1e999",
  "*",
  "é\u202e",
  "x".repeat(300),
];

let server: TestApp;
let alice: Actor;
const built = buildPackage({ name: "words", version: "1" });
beforeAll(async () => {
  server = await startTestApp();
  alice = await server.addUser("alice");
  expect((await alice.put(`/alice/main/noarch/${built.fileName}`, built.bytes)).status).toBe(201);
});
afterAll(() => server.close());

/** Runs a command on the folder of the app, and returns all that it prints. */
async function textOf(...args: string[]): Promise<{ code: number; text: string }> {
  const lines: string[] = [];
  const streams = [process.stdout, process.stderr].map((stream) => ({ stream, write: stream.write }));
  const take = (part: string | Uint8Array): boolean => lines.push(String(part)) > 0;
  for (const { stream } of streams) stream.write = take;
  try {
    const rows = (found: readonly unknown[]): void => void lines.push(JSON.stringify(found));
    const line = (part: string): void => void lines.push(part);
    return { code: await runHere(args, { line, note: line, rows }), text: lines.join("\n") };
  } finally {
    for (const { stream, write } of streams) stream.write = write;
  }
}

describe("a bad value", () => {
  for (const name of SETTING_NAMES) {
    test(`of the setting ${name} is explained in our own words, from every source`, () => {
      const inputs = VALUES.flatMap((value) => [
        { flags: { [name]: value }, environment: {} },
        { flags: {}, environment: { [`CONDARIUM_${name.toUpperCase().replaceAll("-", "_")}`]: value } },
      ]);
      const files = ["1.5", "-1", "true", "[1]", "{a = 1}", "1979-05-27", '["", 2]', "nan"].map((value) => ({
        flags: {},
        environment: {},
        file: { name: "test.toml", text: `${name} = ${value}` },
      }));
      let refused = 0;
      for (const input of [...inputs, ...files]) {
        const error = failureOf(() => loadConfig(input));
        if (error === undefined) continue;
        refused += 1;
        expect(error).toBeInstanceOf(AppError);
        expect(error.message).not.toMatch(WORDS);
      }
      expect(refused).toBeGreaterThan(0);
    });
  }

  // The options with a value of each command, and its arguments; a folder as an argument is any text.
  const ARGUMENTS: Readonly<Record<string, readonly string[]>> = {
    "user create": ["NEW"],
    "user disable": ["nobody"],
    "user enable": ["nobody"],
    "user hide": ["nobody"],
    "user unhide": ["nobody"],
    "user set-password": ["nobody"],
    "user delete": ["nobody"],
    "user rename": ["nobody", "new"],
    "org create": ["NEW", "--owner", "alice"],
    "org show": ["nobody"],
    "org edit": ["nobody"],
    "org delete": ["nobody"],
    "org rename": ["nobody", "new"],
    "org members": ["nobody"],
    "org remove-member": ["nobody", "alice"],
    "team create": ["nobody/team", "--role", "reader"],
    "team list": ["nobody"],
    "team show": ["nobody/team"],
    "team edit": ["nobody/team"],
    "team delete": ["nobody/team"],
    "team add": ["nobody/team", "alice"],
    "team remove": ["nobody/team", "alice"],
    "robot create": ["nobody/robot"],
    "robot list": ["nobody"],
    "robot delete": ["nobody/robot"],
    "robot token": ["nobody/robot", "--name", "NEW"],
    "name release": ["nobody"],
    "token create": ["alice", "--name", "NEW"],
    "token list": ["nobody"],
    "token revoke": ["alice", "none"],
    "channel create": ["alice/NEW"],
    "channel list": ["alice"],
    "channel show": ["alice/main"],
    "channel set": ["alice/main"],
    "channel grant": ["alice/main", "alice", "reader"],
    "channel revoke": ["alice/main", "nobody"],
    "channel transfer": ["alice/main", "nobody"],
    "channel delete": ["alice/main"],
    "config show": [],
    verify: [],
    reindex: [],
    gc: [],
    health: ["--url", "http://127.0.0.1:1"],
  };

  for (const [command, args] of Object.entries(ARGUMENTS)) {
    test(`of an option or an argument of ${command} is explained in our own words`, async () => {
      const words = command.split(" ");
      const help = await textOf(...words, "--help");
      expect(help.code).toBe(0);
      const options = [...help.text.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+) </gm)].map(([, option = ""]) => option);
      const given = options.filter((option) => option !== "--data" && option !== "--config");
      const lines = VALUES.flatMap((value, at) => {
        const unique = args.map((argument) => argument.replace("NEW", `new-${at}`));
        const places = args
          .map((_, place) => unique.with(place, value))
          .filter((_, place) => !args[place]?.startsWith("--"));
        return [...given.map((option) => [...unique, option, value]), ...places];
      });
      for (const line of lines) {
        const data = options.includes("--data") ? ["--data", server.folder] : [];
        const { text } = await textOf(...words, ...data, ...line);
        // The value itself may be repeated.
        expect([caseName(line.join(" ")), text.replaceAll("NaN", "")]).toEqual([
          expect.any(String),
          expect.not.stringMatching(WORDS),
        ]);
        expect(text).not.toContain("unexpected error");
      }
    });
  }

  test("of each header and each query parameter that the server reads is answered in our own words", async () => {
    const { headers, parameters } = await inputsOfRouters();
    expect(headers).toContain("x-checksum-sha256");
    for (const name of ["if-none-match", "content-md5", "repr-digest"]) expect(headers).toContain(name);
    for (const name of ["dry_run", "skip_existing", "cursor", "limit", "page", "since"])
      expect(parameters).toContain(name);
    const paths = [
      "/api/v1/channels",
      "/api/v1/audit?owner=alice",
      "/api/v1/packages/alice",
      "/api/v1/orgs",
      "/alice/main/noarch/repodata.json",
      `/alice/main/noarch/${built.fileName}`,
      "/api/packages/alice/generic/x/1/y",
    ];
    const send = async (path: string, sent: Record<string, string>): Promise<void> => {
      const answers = [
        await alice.get(path, sent),
        await server.anonymous.get(path, sent),
        await alice.put(path, built.bytes, sent),
        await alice.send("POST", path, sent),
      ];
      for (const answer of answers) {
        expect([path, sent, answer.status]).toEqual([path, sent, expect.any(Number)]);
        expect([path, sent, answer.status === 500]).toEqual([path, sent, false]);
        if (answer.status >= 400) expect(await answer.text()).not.toMatch(WORDS);
      }
    };
    for (const value of VALUES.filter((one) => /^[\x20-\x7e]*$/.test(one))) {
      for (const path of paths) {
        for (const header of headers) await send(path, { [header]: value });
        for (const parameter of parameters)
          await send(`${path}${path.includes("?") ? "&" : "?"}${parameter}=${encodeURIComponent(value)}`, {});
      }
    }
  }, 60_000);
});

describe("damaged data", () => {
  test("of a backup is described in our own words by restore and backup", async () => {
    const room = await mkdtemp(join(tmpdir(), "condarium-words-"));
    try {
      const backup = join(room, "backup");
      expect((await textOf("backup", backup, "--data", server.folder)).code).toBe(0);
      const path = join(backup, "backup.json");
      const manifest = (await Bun.file(path).json()) as Record<string, unknown> & { rows: string };
      const changes: [string, unknown][] = [
        ["format", "one"],
        ["schema", -1],
        ["created", null],
        ["rows", "../x"],
        ["tables", [{ name: "owner" }]],
        ["contents", undefined],
      ];
      const restore = (): Promise<{ code: number; text: string }> =>
        textOf("restore", backup, "--data", join(room, "restored"));
      for (const [member, value] of changes) {
        await Bun.write(path, JSON.stringify({ ...manifest, [member]: value }));
        for (const { code, text } of [await restore(), await textOf("backup", backup, "--data", server.folder)]) {
          expect([member, code, text]).toEqual([member, 2, expect.not.stringMatching(WORDS)]);
          expect(text).toContain(`is damaged: its member ${member}`);
        }
      }
      for (const broken of ["", "[]", "7", "{"]) {
        await Bun.write(path, broken);
        expect((await restore()).text).not.toMatch(WORDS);
      }
      await Bun.write(path, JSON.stringify(manifest));
      const rows = join(backup, manifest.rows);
      for (const name of ["owner", "contents"]) {
        const file = join(rows, `${name}.jsonl.zst`);
        const whole = await Bun.file(file).bytes();
        const [, ...rest] = zstdDecompressSync(whole).toString().split("\n");
        for (const line of ['{"a":[]}', "[]", '"x"', "null"]) {
          await Bun.write(file, zstdCompressSync([line, ...rest].join("\n")));
          const { code, text } = await restore();
          expect([name, line, code !== 0, text]).toEqual([name, line, true, expect.not.stringMatching(WORDS)]);
        }
        await Bun.write(file, whole);
      }
    } finally {
      await rm(room, { recursive: true, force: true });
    }
  });

  test.each([[[]], [null], ["x"], [{}], [{ sha256: 5 }]])("of the contents of a backup: %j", (line) => {
    const error = failureOf(() => parseContent(line));
    expect(error).toBeInstanceOf(AppError);
    expect(error?.message).toStartWith("A line of the contents is not valid: ");
    expect(error?.message).not.toMatch(WORDS);
  });

  test("of a channel's policy is described in our own words, in the log too", async () => {
    const tables = openTables(server.folder);
    const before = String(tables.all("SELECT policy FROM channel WHERE name = 'main'")[0]?.policy);
    for (const policy of ['{"maxAge":"x"}', "[]", "no json"]) {
      tables.run("UPDATE channel SET policy = ? WHERE name = 'main'", policy);
      const answer = await server.anonymous.get("/alice/main/noarch/repodata.json");
      expect([answer.status, await answer.text()]).toEqual([500, expect.not.stringMatching(WORDS)]);
      expect(server.log()).toContain("the stored policy of the channel main is damaged");
      expect(server.log()).not.toMatch(/ZodError|invalid_type/);
      const { code, text } = await textOf("channel", "show", "alice/main", "--data", server.folder);
      expect([code, text]).toEqual([1, expect.stringContaining("the stored policy of the channel main is damaged")]);
      expect(text).not.toMatch(/ZodError|invalid_type/);
    }
    tables.run("UPDATE channel SET policy = ? WHERE name = 'main'", before);
    tables.close();
  });
});

/** The headers and query parameters that the text of the routers names. */
async function inputsOfRouters(): Promise<{ headers: string[]; parameters: string[] }> {
  const headers = new Set<string>();
  const parameters = new Set<string>();
  for await (const path of new Bun.Glob("src/routers/**/*.ts").scan()) {
    const text = await Bun.file(path).text();
    for (const [, name = ""] of text.matchAll(/headers\.(?:get|has)\("([^"]+)"\)/g)) headers.add(name);
    // The tables of declared digests.
    for (const [, name = ""] of text.matchAll(/\["([a-z0-9-]+)", (?:"(?:sha|md5)|parse)/g)) headers.add(name);
    for (const [, name = ""] of text.matchAll(/query(?:\.get\(|, )"([^"]+)"/g)) parameters.add(name);
  }
  return { headers: [...headers].sort(), parameters: [...parameters].sort() };
}

function failureOf(work: () => unknown): Error | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
