import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEvents } from "../../src/events.ts";
import { createLogger } from "../../src/modules/log.ts";
import { createMetrics } from "../../src/modules/metrics.ts";
import { createDiskStore } from "../../src/modules/storage/disk.ts";
import { createFileHashes } from "../../src/services/file-hashes.ts";
import { createStaging, type Staging } from "../../src/services/staging.ts";
import { errorOf } from "../modules/error-of.ts";

let root: string;
let staging: Staging;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "condarium-staging-"));
  const log = createLogger({ level: "error", write: () => undefined });
  staging = createStaging({
    blobs: createDiskStore({ root, reserve: 0 }),
    events: createEvents({ log, metrics: createMetrics() }),
    hashes: createFileHashes({ workers: { run: () => Promise.reject(new Error("nothing here is large")) } }),
    limit: 1e6,
  });
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function* body(log: string[]): AsyncGenerator<Uint8Array> {
  for (const name of ["first", "second"]) {
    log.push(name);
    yield new Uint8Array(9);
  }
}

test("staging reports each part that arrives, and then that the body is complete", async () => {
  const log: string[] = [];
  const receiving = {
    signal: new AbortController().signal,
    arrived: () => void log.push("arrived"),
    received: () => void log.push("received"),
  };
  const staged = await staging.receive({ body: body(log), length: undefined, expected: {} }, receiving);
  await staged.discard();
  expect(log).toEqual(["first", "arrived", "second", "arrived", "received"]);
});

test("staging ends an upload that has to make room, and leaves nothing of it", async () => {
  const ended = new AbortController();
  const receiving = {
    signal: ended.signal,
    arrived: () => void setTimeout(() => ended.abort(new Error("make room")), 5),
    received: () => expect.unreachable(),
  };
  async function* stuck(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(9);
    await new Promise(() => undefined);
  }
  const incoming = { body: stuck(), length: undefined, expected: {} };
  expect((await errorOf(staging.receive(incoming, receiving))).message).toBe("make room");
  expect([...new Bun.Glob("**/*").scanSync(root)]).toEqual([]);
});
