import { afterEach, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ARCHIVE_LIMITS } from "../../src/modules/conda/archive.ts";
import { createWorkers, type WorkerJob, type Workers as Pool } from "../../src/services/workers.ts";
import { errorOf } from "../modules/error-of.ts";
import { basic, PASSWORD } from "../support/app.ts";
import { listen } from "../support/listening.ts";
import { buildPackage, condaBytes, packageParts, tar } from "../support/package-builder.ts";

import type { InspectJobs } from "../../src/services/conda/inspect.ts";

type Workers = Pool<InspectJobs>;

/** A worker whose behavior is named by the file name. */
const SCRIPT = URL.createObjectURL(
  new Blob([
    `postMessage("started");
    self.addEventListener("message", ({ data: { fileName } }) => {
      if (fileName === "hang") for (;;) {}
      if (fileName === "exit") process.exit(3);
      if (fileName === "throw") throw new Error("on purpose");
      if (fileName === "reject") return void Promise.reject(new Error("on purpose"));
      if (fileName === "silent") return;
      if (fileName === "exit later") setTimeout(() => process.exit(3), 20);
      if (fileName === "throw later") setTimeout(() => { throw new Error("on purpose"); }, 20);
      if (fileName === "spent") return void postMessage({ kind: "done", isSpent: true });
      setTimeout(() => postMessage({ kind: "failed", message: "answered " + fileName }), 5);
    });`,
  ]),
);
const TIME_MS = 400;

let workers: Workers | undefined;
let spawned = 0;
afterEach(() => workers?.close());

function pool(options: { readonly size?: number; readonly queue?: number } = {}): Workers {
  spawned = 0;
  const spawn = (): Worker => {
    spawned += 1;
    return new Worker(SCRIPT);
  };
  workers = createWorkers({ spawn, size: 1, queue: 100, ...options });
  return workers;
}

function job(fileName: string): WorkerJob<InspectJobs> {
  return { kind: "inspect", path: "/nowhere", fileName, limits: ARCHIVE_LIMITS, now: 0 };
}

const runner =
  (all: Workers) =>
  (fileName: string): Promise<unknown> =>
    all.run(job(fileName), TIME_MS);
const answered = (name: string): unknown => ({ kind: "failed", message: `answered ${name}` });

describe("a worker", () => {
  test("is reused, and there are never more than the pool's size", async () => {
    const run = runner(pool({ size: 2 }));
    const names = Array.from({ length: 10 }, (_, at) => `job ${at}`);
    expect(await Promise.all(names.map(run))).toEqual(names.map(answered));
    expect(spawned).toBe(2);
  });

  test.each(["hang", "silent"])("that exceeds its time is ended, and the next job gets another (%s)", async (how) => {
    const run = runner(pool());
    const started = performance.now();
    expect(await run(how)).toEqual({ kind: "timed-out" });
    expect(performance.now() - started).toBeLessThan(TIME_MS + 300);
    expect(await run("next")).toEqual(answered("next"));
    expect(spawned).toBe(2);
  });

  test.each(["throw", "reject", "exit"])("that ends during a job is replaced (%s)", async (how) => {
    const run = runner(pool());
    expect(await run(how)).toEqual({ kind: "crashed" });
    expect(await run("next")).toEqual(answered("next"));
    expect(spawned).toBe(2);
  });

  test.each(["throw later", "exit later"])("that ends after its answer does not get the next job (%s)", async (how) => {
    const run = runner(pool());
    expect(await run(how)).toEqual(answered(how));
    await Bun.sleep(100);
    expect(await run("next")).toEqual(answered("next"));
    expect(spawned).toBe(2);
  });
});

test("a worker that cannot start is no crash of the job's, and the next job gets another", async () => {
  const broken = URL.createObjectURL(new Blob(['import "/nowhere/part-of-the-server.ts";']));
  spawned = 0;
  const spawn = (): Worker => new Worker((spawned += 1) === 1 ? broken : SCRIPT);
  workers = createWorkers({ spawn, size: 1, queue: 100 });
  const run = runner(workers);
  expect(await run("job")).toEqual({ kind: "failed", message: "the thread did not start" });
  expect(await run("next")).toEqual(answered("next"));
  expect(await run("exit")).toEqual({ kind: "crashed" });
});

describe("the worker pool", () => {
  test("replaces a worker that reports itself spent, after its answer", async () => {
    const run = runner(pool());
    expect(await run("spent")).toEqual({ kind: "done", isSpent: true });
    expect(await run("next")).toEqual(answered("next"));
    expect(spawned).toBe(2);
  });

  test("reports the number of waiting jobs, and refuses more than its queue holds", async () => {
    const all = pool({ queue: 2 });
    const running = ["a", "b", "c"].map(runner(all));
    expect(all.waiting).toBe(2);
    expect(await errorOf(all.run(job("d"), TIME_MS))).toMatchObject({ code: "unavailable" });
    expect(await Promise.all(running)).toEqual(["a", "b", "c"].map(answered));
    expect(all.waiting).toBe(0);
  });

  test("ends running jobs when it is closed, and accepts no more", async () => {
    const { run, close } = pool();
    const started = performance.now();
    const outcomes = [errorOf(run(job("hang"), 10_000)), errorOf(run(job("waiting"), 10_000))];
    await Bun.sleep(50);
    close();
    outcomes.push(errorOf(run(job("late"), 10_000)));
    for (const outcome of outcomes) expect(await outcome).toMatchObject({ code: "unavailable" });
    expect(performance.now() - started).toBeLessThan(2000);
    expect(spawned).toBe(1);
  });
});

test("reading a hostile package delays no other request, and refuses the package", async () => {
  const server = await listen();
  try {
    await server.addUser("alice");
    const upload = fetch(`${server.url}/api/packages/alice/conda/main/bomb-1-0.conda`, {
      method: "PUT",
      headers: basic("alice", PASSWORD),
      body: bomb(),
    });
    const ended = new AbortController();
    void upload.finally(() => ended.abort());
    const times: number[] = [];
    while (!ended.signal.aborted) {
      const started = performance.now();
      expect((await fetch(`${server.url}/health/live`)).status).toBe(200);
      times.push(performance.now() - started);
      await Bun.sleep(2);
    }
    const answer = await upload;
    expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining("unpacked-size")]);
    times.sort((a, b) => a - b);
    expect(times.length).toBeGreaterThan(20);
    expect(times[Math.floor(times.length * 0.99)]).toBeLessThan(100);
    expect(await server.staged()).toEqual([]);
  } finally {
    await server.stop();
  }
});

test.skipIf(process.platform !== "linux")(
  "a package that takes long to read yields to other threads, and its thread ends with it",
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "condarium-slow-"));
    const files = Object.fromEntries(Array.from({ length: 60_000 }, (_, at) => [`share/${at}`, ""]));
    const path = join(folder, "many-1-0.conda");
    await Bun.write(path, buildPackage({ name: "many", version: "1", files }).bytes);
    const spawn = (): Worker => new Worker(new URL("../../src/worker.ts", import.meta.url).href);
    workers = createWorkers({ spawn, size: 1, queue: 10 });
    const before = Math.max(...priorities());
    const reading = workers.run({ ...job("many-1-0.conda"), path }, 60_000);
    let most = before;
    const looking = setInterval(() => (most = Math.max(most, ...priorities())), 10);
    const outcome = await reading;
    clearInterval(looking);
    expect(outcome).toMatchObject({ kind: "done", isSpent: true, answer: { kind: "accepted" } });
    expect(most).toBe(before + 10);
    for (let waited = 0; waited < 200 && Math.max(...priorities()) > before; waited++) await Bun.sleep(10);
    expect(Math.max(...priorities())).toBe(before);
    await rm(folder, { recursive: true });
  },
);

/** Processor time of each thread of this process. */
function priorities(): number[] {
  return readdirSync("/proc/self/task").map((task) => {
    const stat = readFileSync(`/proc/self/task/${task}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[16]);
  });
}

/** 40 KB that unpack to more than the limit: one frame of blocks that stand for 128 KiB of zeros each. */
function bomb(): Uint8Array<ArrayBuffer> {
  const { stem, info } = packageParts({ name: "bomb", version: "1" });
  const piece = 128 * 1024;
  const pieces = ARCHIVE_LIMITS.unpackedBytes / piece + 1;
  const size = (pieces * piece).toString(8).padStart(11, "0");
  const head = tar(
    [{ path: "share/zeros", edit: (header) => header.set(new TextEncoder().encode(size), 124) }],
    new Uint8Array(0),
  );
  // https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.2
  const block = (type: "raw" | "run", bytes: number, content: Uint8Array, isLast = false): Uint8Array => {
    const header = (bytes << 3) | (type === "run" ? 2 : 0) | (isLast ? 1 : 0);
    return Buffer.concat([Uint8Array.of(header, header >> 8, header >> 16), content]);
  };
  const zero = Uint8Array.of(0);
  const payload = Buffer.concat([
    // The frame's magic, no optional fields, and a window of 8 MiB.
    Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0x68),
    block("raw", head.length, head),
    ...Array.from({ length: pieces }, () => block("run", piece, zero)),
    block("run", 1024, zero, true),
  ]);
  return condaBytes({ stem, info, payload }).slice();
}
