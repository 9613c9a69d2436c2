// The collector beside a busy server, without a grace time: no acknowledged file ever lacks a byte.

import { expect, test } from "bun:test";
import { join } from "node:path";
import { z } from "zod";
import { bytesOf } from "../../support/answers.ts";
import { startTestApp } from "../../support/app.ts";
import { enginesOf } from "../../support/engines.ts";
import { buildPackage } from "../../support/package-builder.ts";
import { problemsOf } from "../../support/problems.ts";

const COLLECTOR = join(import.meta.dir, "../../support/gc-process.ts");
const CHANNELS = ["main", "copy"];
const OPERATIONS = 300;
const AT_ONCE = 8;

test("concurrent publishes and deletes of the same packages leave the acknowledged state while another process collects", async () => {
  const server = await startTestApp();
  const alice = await server.addUser("alice");
  const packages = Array.from({ length: 6 }, (_, at) => buildPackage({ name: `p${at}`, version: "1" }));
  const { environment: env } = await enginesOf(server.folder);
  const collector = Bun.spawn([process.execPath, COLLECTOR, server.folder], { env, stdin: "pipe", stdout: "pipe" });
  const places = CHANNELS.flatMap((channel) => packages.map((built) => ({ channel, built })));
  /** Each file name belongs to one task at a time, so that its last response says what the name holds. */
  const idle = new Set(places);
  const held = new Set<(typeof places)[number]>();
  let left = OPERATIONS;
  const wrong: unknown[] = [];

  async function work(): Promise<void> {
    while (left-- > 0) {
      const choice = [...idle][Math.floor(Math.random() * idle.size)];
      if (!choice) throw new Error("there are more places than workers");
      idle.delete(choice);
      const { channel, built } = choice;
      const answer = held.has(choice)
        ? await alice.delete(`/alice/${channel}/noarch/${built.fileName}`)
        : await alice.put(`/api/packages/alice/conda/${channel}/${built.fileName}`, built.bytes);
      if (answer.status === 201) held.add(choice);
      else if (answer.status === 204) held.delete(choice);
      else wrong.push([answer.status, await answer.text()]);
      if (Math.random() < 0.1) await alice.get(`/alice/${channel}/noarch/repodata_shards.msgpack.zst`);
      idle.add(choice);
    }
  }

  await Promise.all(Array.from({ length: AT_ONCE }, work));
  for (const { channel, built } of held) {
    const answer = await alice.get(`/alice/${channel}/noarch/${built.fileName}`);
    expect([answer.status, await bytesOf(answer)]).toEqual([200, Buffer.from(built.bytes)]);
  }
  await collector.stdin.end();
  const counted = z.object({ rounds: z.number(), blobs: z.number() });
  const { rounds, blobs } = counted.parse(JSON.parse(await new Response(collector.stdout).text()));
  expect(wrong).toEqual([]);
  // A collector that deleted nothing would prove nothing.
  expect([rounds > 5, blobs > 20]).toEqual([true, true]);
  expect(await problemsOf(server, "deep")).toEqual([]);
  const kept = new Set([...held].map(({ built }) => built.sha256));
  await server.app.gc({ graceMs: 0 });
  const files = (await server.storedFiles()).filter((name) => /^(blobs|files)\//.test(name));
  expect(files.map((name) => name.slice(-64)).sort()).toEqual([...kept, ...kept].sort());
  await server.close();
}, 60_000);
