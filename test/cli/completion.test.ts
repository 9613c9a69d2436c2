// condarium complete: the scripts of the shells, and the values that they offer.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { condarium } from "../support/server-process.ts";

const MAIN = join(import.meta.dir, "../../src/main.ts");

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-completion-"));
  await Bun.write(join(folder, "condarium"), `#!/bin/sh\nexec "${process.execPath}" "${MAIN}" "$@"\n`);
  await chmod(join(folder, "condarium"), 0o755);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The values that are offered for the last word. */
async function offered(...words: string[]): Promise<string[]> {
  const { code, stdout } = await condarium(["complete", "--", ...words]);
  expect(code).toBe(0);
  const lines = stdout.trimEnd().split("\n");
  expect(lines.pop()).toMatch(/^:\d+$/);
  return lines.map((line) => line.split("\t")[0] ?? "").filter((value) => value !== "");
}

const VISIBILITIES = ["public", "internal", "private"];
const SCOPES = "read:package write:package delete:package manage:channel read:metrics all public-only".split(" ");

test.each([
  [["channel", "create", "a/b", "--visibility", ""], VISIBILITIES],
  [
    ["channel", "set", "a/b", "--visibility", "p"],
    ["public", "private"],
  ],
  [
    ["channel", "set", "a/b", "--shards", ""],
    ["fresh", "on", "off"],
  ],
  [
    ["channel", "set", "a/b", "--validation", ""],
    ["standard", "strict"],
  ],
  [
    ["channel", "grant", "a/b", "bob", ""],
    ["reader", "publisher", "maintainer", "owner"],
  ],
  [["token", "create", "bob", "--scope", ""], SCOPES],
  [
    ["token", "create", "bob", "--scope", "read:package", "--scope", "read:"],
    ["read:package", "read:metrics"],
  ],
  [["serve", "--default-visibility", ""], VISIBILITIES],
  [["user", "create", "--default-visibility", "i"], ["internal"]],
  [
    ["serve", "--log-level", ""],
    ["debug", "info", "warn", "error"],
  ],
  [
    ["serve", "--create-channels", ""],
    ["yes", "no"],
  ],
  [["channel", "del"], ["delete"]],
  [
    ["team", "create", "a/b", "--role", ""],
    ["reader", "publisher", "maintainer", "owner"],
  ],
  [["org", "edit", "a", "--visibility", "l"], ["limited"]],
  [["robot", "t"], ["token"]],
  [["name", "r"], ["release"]],
  [["channel", "delete", "--y"], ["--yes"]],
])("completes %j", async (words, values) => {
  expect(await offered(...words)).toEqual(values);
});

describe("the script for bash", () => {
  /** What bash would offer, with the words as it splits them without the package bash-completion. */
  async function inBash(...words: string[]): Promise<{ out: string; err: string }> {
    const quoted = words.map((word) => `'${word}'`).join(" ");
    const lines = [
      "source <(condarium complete bash)",
      "source <(condarium complete bash)",
      `COMP_WORDS=(condarium ${quoted}) COMP_CWORD=${words.length}`,
      "compopt() { :; }",
      "__condarium_complete",
      'printf "%s\\n" "${COMPREPLY[@]}"',
    ];
    const env = { ...process.env, PATH: `${folder}${delimiter}${process.env.PATH}` };
    const child = Bun.spawn(["bash", "--norc", "-c", lines.join("\n")], { env, stdout: "pipe", stderr: "pipe" });
    const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    return { out, err };
  }

  test.each([
    [["channel", "create", "a/b", "--visibility", ""], "public\ninternal\nprivate\n"],
    [["channel", "grant", "a/b", "bob", "m"], "maintainer\n"],
    [["channel", "grant", "--pa"], "--packages\n"],
    [["token", "create", "bob", "--scope", "write"], "write:package\n"],
    [["chan"], "channel\n"],
  ])("completes %j without the package bash-completion, also when it was read twice", async (words, out) => {
    expect(await inBash(...words)).toEqual({ out, err: "" });
  });
});

test("the script for zsh keeps the colon of a scope", async () => {
  const { stdout } = await condarium(["complete", "zsh"]);
  expect(stdout).toContain(String.raw`comp=${"$"}{comp//:/\\:}`);
  expect(stdout).not.toContain(String.raw`comp=${"$"}{comp//:/\:}`);
});

test.each(["bash", "zsh", "fish", "powershell"])("the script for %s calls the command by its name", async (shell) => {
  const { code, stdout, stderr } = await condarium(["complete", shell]);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/condarium['"]?,? ?\(?complete|condarium complete --/);
  // In a compiled binary, the path of the script is not a path of the system.
  expect(stdout).not.toMatch(/bunfs|main\.ts/);
});

test("an unknown shell is wrong usage", async () => {
  const { code, stderr } = await condarium(["complete", "tcsh"]);
  expect([code, stderr]).toEqual([2, expect.stringContaining("Allowed choices are zsh, bash, fish, powershell.")]);
});
