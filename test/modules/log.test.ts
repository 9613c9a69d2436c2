import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../src/modules/log.ts";
import { createToken } from "../../src/modules/ids.ts";

function logged(work: (log: ReturnType<typeof createLogger>) => void, level: "debug" | "warn" = "debug"): string[] {
  const lines: string[] = [];
  work(createLogger({ level, write: (line) => void lines.push(line) }));
  return lines;
}

describe("a log line", () => {
  test("is one line of JSON with level, time and text, and nothing about the machine", () => {
    const [line = "", ...more] = logged((log) => log.info({ event: "x", text: "a\nb\u001b[31m" }, "hello"));
    expect(more).toEqual([]);
    expect(line.trimEnd()).not.toMatch(/[\n\u001b]/);
    expect(JSON.parse(line)).toEqual({
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      event: "x",
      text: "a\nb\u001b[31m",
      msg: "hello",
    });
  });

  test("below the level is not written", () => {
    const lines = logged((log) => {
      for (const level of ["debug", "info", "warn", "error", "fatal"] as const) log[level]({}, level);
    }, "warn");
    expect(lines.map((line) => JSON.parse(line).level)).toEqual(["warn", "error", "fatal"]);
  });

  test("hides secrets by member name", () => {
    const secrets = {
      authorization: "canary",
      cookie: "canary",
      password: "canary",
      secret: "canary",
      token: "canary",
      "set-cookie": "canary",
      "x-api-key": "canary",
    };
    const text = logged((log) => log.info({ ...secrets, headers: secrets, kept: "visible" }, "x")).join("");
    expect(text).not.toContain("canary");
    expect(text).toContain("visible");
  });

  test("hides access tokens anywhere in the text", () => {
    const token = createToken();
    const cause = new Error(`GET /t/${token}/x`);
    const lines = logged((log) => {
      log.info({ path: `/t/${token}/alice`, deep: { list: [token] } }, `for ${token}`);
      log.error({ err: new Error(`bad ${token}`, { cause }) }, "x");
      log.error({ [token]: 1 }, "as a key");
      // Truncated on the way, for example by a limit on the length of a field.
      log.error({ path: `/t/${token.slice(0, 30)}` }, "x");
    });
    expect(lines).toHaveLength(4);
    for (const line of lines) {
      expect(line).not.toContain(token.slice(4, 20));
      expect(line).toContain("cdr-[redacted]");
    }
  });

  test("has an error's code and causes, without its other members or the values of a query", () => {
    const cause = Object.assign(new Error("inner"), { code: "EIO" });
    const error = Object.assign(new TypeError("Failed query: select ?\nparams: canary,1", { cause }), {
      query: "canary",
    });
    const [line = ""] = logged((log) => log.error({ err: error }, "x"));
    expect(line).not.toContain("canary");
    expect(JSON.parse(line).err).toMatchObject({
      type: "TypeError",
      message: "Failed query: select ?\nparams: [redacted]",
      stack: expect.stringContaining("log.test.ts"),
      cause: { type: "Error", code: "EIO", message: "inner" },
    });
    const [thrown = ""] = logged((log) => log.error({ err: "only a text" }, "x"));
    expect(JSON.parse(thrown).err).toBe("only a text");
  });

  test("stays short whatever the error", () => {
    const endless = new Error("x".repeat(1_000_000));
    endless.cause = endless;
    const [line = ""] = logged((log) => log.error({ err: endless }, "x"));
    expect(line.length).toBeLessThan(150_000);
  });
});

describe("standard error", () => {
  const log = JSON.stringify(`${import.meta.dir}/../../src/modules/log.ts`);
  const program = (rest: string): string[] => [
    process.execPath,
    "-e",
    `const { createLogger } = await import(${log}); const log = createLogger({ level: "info" }); ${rest}`,
  ];
  const many = `for (let k = 0; k < 20; k++) { for (let i = 0; i < 500; i++) log.info({ i }, "x".repeat(500)); await Bun.sleep(1); }`;

  test("gets every line, also the last one before an exit", async () => {
    // Less than the buffer for a slow reader.
    const rest = `for (let i = 0; i < 999; i++) log.info({}, "x".repeat(500)); log.fatal({}, "last"); process.exit(3);`;
    const child = Bun.spawn(program(rest), { stderr: "pipe" });
    const lines = (await new Response(child.stderr).text()).trimEnd().split("\n");
    expect(await child.exited).toBe(3);
    expect(lines).toHaveLength(1000);
    for (const line of lines) JSON.parse(line);
    expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ msg: "last" });
  });

  test.each([
    ["a closed file descriptor", "2>&-", 0],
    ["a full device", "2>/dev/full", 0],
    ["a pipe whose reader goes away", "2> >(sleep 0.1)", 200],
    ["a pipe that nobody reads", "2> >(exec sleep 6 >/dev/null)", 1200],
  ])("as %s neither kills nor stops the program", async (_, redirection, ms) => {
    const rest = `${many} await Bun.sleep(${ms}); log.info({}, "x"); process.stdout.write("went on"); process.exit(0);`;
    const [bun = "", ...args] = program(rest);
    const command = ["bash", "-c", `"$0" "$@" ${redirection}`, bun, ...args];
    const child = Bun.spawn(command, { stdout: "pipe" });
    const ended = await Promise.race([child.exited, Bun.sleep(5000)]);
    if (ended === undefined) child.kill(9);
    expect([ended, await new Response(child.stdout).text()]).toEqual([0, "went on"]);
  });

  test("that is read too slowly loses lines, reports their number, and costs no memory", async () => {
    const folder = await mkdtemp(join(tmpdir(), "condarium-log-"));
    const rest = `${many} await Bun.sleep(1500); log.info({}, "after"); await Bun.sleep(200);`;
    const [bun = "", ...args] = program(rest);
    const redirection = `2> >(sleep 1; cat > ${folder}/log)`;
    await Bun.spawn(["bash", "-c", `"$0" "$@" ${redirection}; sleep 0.2`, bun, ...args]).exited;
    const lines = (await Bun.file(join(folder, "log")).text()).trimEnd().split("\n");
    await rm(folder, { recursive: true });
    expect(lines.length).toBeLessThan(4000);
    const dropped = lines.flatMap((line) => /(\d+) log lines were dropped/.exec(line)?.[1] ?? []);
    expect(lines.length - dropped.length + dropped.reduce((sum, count) => sum + Number(count), 0)).toBe(10_001);
    expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ msg: "after" });
  });
});

describe("a text from outside", () => {
  const both = (text: string): string[] =>
    logged((log) => {
      log.warn({ text }, text);
      log.direct({ path: text, agent: text }, `GET ${text}`);
    });

  const token = createToken();
  const encoded = (every: number, times = 1): string =>
    Array.from(token)
      .map((letter, at) =>
        at % every === 0 ? `%${"25".repeat(times - 1)}${letter.charCodeAt(0).toString(16)}` : letter,
      )
      .join("");

  test.each([
    ["its first letter percent-encoded", `%63${token.slice(1)}`],
    ["its hyphen percent-encoded", token.replace("-", "%2D")],
    ["its hyphen percent-encoded in lower case", token.replace("-", "%2d")],
    ["every character percent-encoded", encoded(1)],
    ["every third character percent-encoded", encoded(3)],
    ["characters encoded twice", encoded(2, 2)],
    ["characters encoded four times", encoded(5, 4)],
    ["its encoding in capitals", encoded(1).toUpperCase()],
  ])("shows no token with %s", (_, text) => {
    for (const line of both(`/%74/${text}/alice?x=${text}`)) {
      expect(line).toContain("cdr-[redacted]/alice");
      const decoded = Array.from({ length: 5 }).reduce<string>(
        (rest) => rest.replaceAll(/%([0-9a-f]{2})/gi, decode),
        line,
      );
      expect(decoded).not.toContain(token.slice(-8));
    }
  });

  test("that only resembles a token stays", () => {
    for (const text of ["cdr-short", "CDR-0123456789", "%63d-0123456789", "cdr-%2f%2e0123456789", "cdr 0123456789"])
      for (const line of both(text)) expect(line).toContain(text);
  });

  test("has its control, direction and invisible characters escaped, and is otherwise unchanged", () => {
    const hidden =
      "\u0007\u001b\u007f\u0080\u009b\u00ad\u061c\u200b\u200e\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\u{e0041}";
    const text = `a${hidden}ä日😀"\\z`;
    for (const line of both(text)) {
      for (const character of hidden) expect(line.trimEnd()).not.toContain(character);
      expect(line).toContain("ä日😀");
      expect(Object.values(JSON.parse(line))).toContain(text);
      expect(line.trimEnd()).toMatch(/^[\p{L}\p{N}\p{P}\p{S} ]+$/u);
    }
  });
});

function decode(_: string, hex: string): string {
  return String.fromCharCode(Number.parseInt(hex, 16));
}
