// The addresses that a server prints at its start, for IPv6 and for a server that listens on all addresses.

import { afterAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { localUrl } from "../../src/cli/local-url.ts";
import { jsonOf } from "../support/answers.ts";
import { basic } from "../support/app.ts";
import { buildPackage } from "../support/package-builder.ts";
import { condarium, serve } from "../support/server-process.ts";

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "condarium-local-"));
  folders.push(folder);
  return join(folder, "data");
}

describe("the local URL", () => {
  test.each([
    ["127.0.0.1:8080", "http://127.0.0.1:8080", "127.0.0.1:8080", false],
    ["conda.internal:80", "http://conda.internal:80", "conda.internal:80", false],
    ["[::1]:8080", "http://[::1]:8080", "[::1]:8080", false],
    ["[2001:db8::7]:8080", "http://[2001:db8::7]:8080", "[2001:db8::7]:8080", false],
    ["0.0.0.0:8080", "http://127.0.0.1:8080", "0.0.0.0:8080", true],
    ["0:8080", "http://127.0.0.1:8080", "0:8080", true],
    ["[::]:8080", "http://[::1]:8080", "[::]:8080", true],
    ["[0:0:0:0:0:0:0:0]:8080", "http://[::1]:8080", "[0:0:0:0:0:0:0:0]:8080", true],
    ["[::ffff:0.0.0.0]:8080", "http://127.0.0.1:8080", "[::ffff:0.0.0.0]:8080", true],
  ])("of %s is %s", (listen, url, address, isEverywhere) => {
    expect(localUrl(listen)).toEqual({ url, address, isEverywhere });
  });

  test("has the port that the system picked", () => {
    expect(localUrl("[::1]:0", 4711)).toEqual({
      url: "http://[::1]:4711",
      address: "[::1]:4711",
      isEverywhere: false,
    });
  });
});

describe("a server", () => {
  const built = buildPackage({ name: "six", version: "1" });

  test("on IPv6 has its host in brackets in everything it prints and in its links", async () => {
    const server = await serve(await newFolder(), ["--listen", "[::1]:0"]);
    const host = `[::1]:${server.port}`;
    expect(server.url).toBe(`http://${host}`);
    expect(server.stdout()).toContain(`http://${host}/admin/main`);
    expect(server.stderr()).toContain(`listening on ${host}`);
    expect(server.stdout() + server.stderr()).not.toMatch(/(?<!\[)::1|public-url/);
    const password = /password: (\S+)/.exec(server.stdout())?.[1] ?? "";
    const answer = await fetch(`${server.url}/admin/main/noarch/${built.fileName}`, {
      method: "PUT",
      headers: basic("admin", password),
      body: built.bytes.slice(),
    });
    const file = `http://${host}/admin/main/noarch/${built.fileName}`;
    expect([answer.headers.get("location"), (await jsonOf<{ url: string }>(answer)).url]).toEqual([file, file]);
    expect((await condarium(["health", "--listen", host])).code).toBe(0);
    await server.end("SIGTERM");
  });

  test.each([
    ["0.0.0.0", "http://127.0.0.1"],
    ["[::]", "http://[::1]"],
  ])("on %s says once per start what to set, and prints links that work on this machine", async (host, local) => {
    const folder = await newFolder();
    const server = await serve(folder, ["--listen", `${host}:0`]);
    expect(server.url).toBe(`${local}:${server.port}`);
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(200);
    const advice = `--public-url http://conda.example.com:${server.port}`;
    expect(server.stdout()).toContain(`${local}:${server.port}/admin/main`);
    for (const text of [server.stdout(), server.stderr()]) expect(text.split(advice)).toHaveLength(2);
    expect(server.stderr()).toMatch(/"level":"warn"[^\n]*"event":"public-url-missing"/);
    await server.end("SIGTERM");

    const named = await serve(folder, ["--listen", `${host}:0`, "--public-url", "https://conda.example.com/x"]);
    expect(named.stdout() + named.stderr()).not.toContain("public-url");
    await named.end("SIGTERM");
  });
});
