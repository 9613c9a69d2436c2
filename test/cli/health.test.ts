// condarium health: what is wrong with a server, on standard error, and an exit code for scripts.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { condarium, serve, type ServerProcess } from "../support/server-process.ts";

let root: string;
let server: ServerProcess;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "condarium-cli-health-"));
  server = await serve(join(root, "data"));
});
afterAll(async () => {
  server.child.kill("SIGKILL");
  await rm(root, { recursive: true, force: true });
});

test("health prints ok for a ready server, and one sentence for each problem of another, with exit code 1", async () => {
  expect(await condarium(["health", "--url", server.url])).toEqual({ code: 0, stdout: "ok\n", stderr: "" });
  await rename(join(root, "data"), join(root, "away"));
  const sentence =
    "The data folder was moved or replaced under the running server: put it back, or restart the server.";
  expect(await condarium(["health", "--url", server.url])).toEqual({
    code: 1,
    stdout: "",
    stderr: `${server.url}/health/ready: not ready: folder: ${sentence}\n`,
  });
  await rename(join(root, "away"), join(root, "data"));
  expect((await condarium(["health", "--url", server.url])).code).toBe(0);
});

test.each([
  ["nothing listens there", undefined, 0, /Unable to connect|refused/i],
  ["no JSON", "starting", 503, /: responded with status 503\n$/],
  ["JSON of another program", JSON.stringify({ problems: [] }), 500, /: responded with status 500\n$/],
  [
    "text that controls the terminal",
    JSON.stringify({ problems: [{ part: "disk\u001b[31m", detail: "a\nb\u0007\u202ec" }] }),
    503,
    /: not ready: disk \[31m: a b {2}c\n$/,
  ],
])("health ends with exit code 1 and one printable line: %s", async (_, text, status, expected) => {
  const other = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (): Response => new Response(text, { status }) });
  const url = `http://127.0.0.1:${other.port}`;
  if (text === undefined) await other.stop(true);
  const ended = await condarium(["health", "--url", url]);
  await other.stop(true);
  expect([ended.code, ended.stdout]).toEqual([1, ""]);
  expect(ended.stderr).toMatch(expected);
  expect(ended.stderr.trimEnd()).not.toMatch(/\p{C}/u);
});
