import { afterEach, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startBusyTime, systemClock } from "../../../src/modules/clock.ts";
import { ARCHIVE_LIMITS } from "../../../src/modules/conda/archive.ts";
import { inspectArchive } from "../../../src/modules/conda/inspect-archive.ts";
import { createFairTurns } from "../../../src/modules/fair-turns.ts";
import { compressBzip2Blocks, spliceBzip2 } from "../../../src/modules/splice/bzip2-stream.ts";
import { createInspect } from "../../../src/services/conda/inspect.ts";
import { createWorkers } from "../../../src/services/workers.ts";
import { errorOf } from "../../modules/error-of.ts";
import { jsonOf } from "../../support/answers.ts";
import { startTestApp, type Actor, type TestApp } from "../../support/app.ts";
import { buildPackage, packageParts, tar } from "../../support/package-builder.ts";

let server: TestApp | undefined;
afterEach(() => server?.close());

const dryRun = (who: Actor, name: string, bytes: Uint8Array): Promise<Response> =>
  who.put(`/api/packages/${who.name}/conda/main/${name}-1-0.tar.bz2?dry_run=true`, bytes);

/** A package whose one large file is a repeated text: cheap to build, and real work to read. */
function repeated(name: string, piece: Uint8Array, times: number): Uint8Array {
  const { info } = packageParts({ name, version: "1", files: {} });
  const size = (piece.byteLength * times).toString(8).padStart(11, "0");
  const large = { path: "share/large", edit: (header: Uint8Array) => header.set(Buffer.from(size), 124) };
  const end = new Uint8Array(1024 + ((512 - ((piece.byteLength * times) % 512)) % 512));
  const packed = compressBzip2Blocks(piece);
  const pieces = [
    compressBzip2Blocks(tar([...info, large], new Uint8Array())),
    ...Array.from({ length: times }, () => packed),
    compressBzip2Blocks(end),
  ];
  return Buffer.concat([...spliceBzip2(pieces)]);
}

const words = Array.from({ length: 60_000 }, (_, at) => `${(at * 7919) % 1009} word`).join(" ");
const text = new TextEncoder().encode(words.slice(0, 384 * 1024));

/** A package with more zeros behind its end mark than the limit, compressed by bzip2. */
const BOMB =
  "QlpoOTFBWSZTWYLnHiYFfjXbgMyAUAXlkCAK/3ffSggIMAC5tiKbUwg0NAAANGEEIGo0AGmgaAAARUk0PTUbUAGhoADJ0kfr1RVFVEpFFVFVEr85okJRxKKqKqJANLNhAwUEabJnGfKs9YQug9dZBef3klAKTzIAQccAcadJGtaDlEogE68GIZ3J14ZYtaAoxIZ0pXiZkgL61OtwKQ0QoLyQWOnUk6IxESJsfMmJUSupqvosQVUVUT+YoKyTKayHBPFvgK/HIABgAAAEEAAYQCajIVAS1IVAS5igrJMprIcE8W+Ar8cgAGAAAAQQABhAJqMhUBLUhUBLmKCskymshwTxb4CvxyAAYAAABBAAGEAmoyFQEtSFQEuYoKyTKayHBPFvgK/HIABgAAAEEAAYQCajIVAS1IVAS5igrJMprIcE8W+Ar8cgAGAAAAQQABhAJqMhUBLUhUBLmKCskymshwTxb4CvxyAAYAAABBAAGEAmoyFQEtSFQEuYoKyTKayHBPFvgK/HIABgAAAEEAAYQCajIVAS1IVAS5igrJMprIcE8W+Ar8cgAGAAAAQQABhAJqMhUBLUhUBLmKCskymshwTxb4CvxyAAYAAABBAAGEAmoyFQEtSFQEuYoKyTKayHBPFvgK/HIABgAAAEEAAYQCajIVAS1IVAS5igrJMprIcE8W+Ar8cgAGAAAAQQABhAJqMhUBLUhUBLmKCskymshwTxb4CvxyAAYAAABBAAGEAmoyFQEtSFQEuYoKyTKayHBPFvgK/HIABgAAAEEAAYQCajIVAS1IVAS5igrJMprIcE8W+Ar8cgAGAAAAQQABhAJqMhUBLUhUBLmKCskymshwTxb4CvxyAAYAAABBAAGEAmoyFQEtSFQEuYoKyTKayHBPFvgK/HIABgAAAEEAAYQCajIVAS1IVAS5igrJMprIcE8W+Ar8cgAGAAAAQQABhAJqMhUBLUhUBLmKCskymshwTxb4CvxyAAYAAABBAAGEAmoyFQEtSFQEuYoKyTKayHBPFvgK/HIABgAAAEEAAYQCajIVAS1IVAS5igrJMprIcE8W+Ar8cgAGAAAAQQABhAJqMhUBLUhUBLmKCskymshwTxb4CvxyAAYAAABBAAGEAmoyFQEtSFQEuYoKyTKayHBPFvgK/HIABgAAAEEAAYQCajIVAS1IVAS5igrJMprNerppgAhXMgAWAAAAgABBAAGGYClNMUVJBsSipIPF3JFOFCQbWWBhQ=";

test.each([
  [1, "is read by another"],
  [2, "is to blame when it ends a second one"],
])("a package whose thread ends %i time(s) %s", async (deaths) => {
  const folder = await mkdtemp(join(tmpdir(), "condarium-inspect-"));
  const { fileName, bytes } = buildPackage({ name: "a", version: "1" });
  const path = join(folder, fileName);
  await Bun.write(path, bytes);
  const dying = URL.createObjectURL(
    new Blob([`postMessage("started"); self.addEventListener("message", () => process.exit(3));`]),
  );
  let spawned = 0;
  const spawn = (): Worker =>
    (spawned += 1) <= deaths ? new Worker(dying) : new Worker(new URL("../../../src/worker.ts", import.meta.url).href);
  const workers = createWorkers({ spawn, size: 1, queue: 10 });
  const patienceMs = 20_000;
  const turns = createFairTurns({ slots: 1, queue: 10, queuePerUser: 10, patienceMs, now: systemClock.elapsed });
  const inspect = createInspect({ workers, turns, limits: ARCHIVE_LIMITS, clock: systemClock, patienceMs });
  const nothing = (): Promise<void> => Promise.resolve();
  const staged = { sha256: "", md5: "", size: 1, path, durable: nothing, promote: nothing, discard: nothing };
  try {
    const reading = inspect(staged, fileName, "alice");
    if (deaths === 1) expect(await reading).toMatchObject({ kind: "accepted" });
    else expect(await errorOf(reading)).toMatchObject({ code: "invalid" });
    expect(spawned).toBe(2);
  } finally {
    workers.close();
    await rm(folder, { recursive: true });
  }
});

test("a staged file that the server cannot read is no fault of the package", async () => {
  const spawn = (): Worker => new Worker(new URL("../../../src/worker.ts", import.meta.url).href);
  const workers = createWorkers({ spawn, size: 1, queue: 10 });
  const patienceMs = 20_000;
  const turns = createFairTurns({ slots: 1, queue: 10, queuePerUser: 10, patienceMs, now: systemClock.elapsed });
  const inspect = createInspect({ workers, turns, limits: ARCHIVE_LIMITS, clock: systemClock, patienceMs });
  const nothing = (): Promise<void> => Promise.resolve();
  const path = "/nowhere/a-1-0.conda";
  const staged = { sha256: "", md5: "", size: 1, path, durable: nothing, promote: nothing, discard: nothing };
  const error = await errorOf(inspect(staged, "a-1-0.conda", "alice")).finally(workers.close);
  expect(error).toMatchObject({ code: "unavailable", facts: { retryAfter: expect.any(Number) } });
  expect(error.message).not.toContain(path);
});

test("a package that the machine has no time for gets 503 with Retry-After instead of a refusal", async () => {
  const script = URL.createObjectURL(new Blob([`self.addEventListener("message", () => { for (;;) {} });`]));
  const workers = createWorkers({ spawn: () => new Worker(script), size: 1, queue: 1 });
  const patienceMs = 200;
  const turns = createFairTurns({ slots: 1, queue: 10, queuePerUser: 10, patienceMs, now: systemClock.elapsed });
  const inspect = createInspect({ workers, turns, limits: ARCHIVE_LIMITS, clock: systemClock, patienceMs });
  const nothing = (): Promise<void> => Promise.resolve();
  const staged = { sha256: "", md5: "", size: 1, path: "", durable: nothing, promote: nothing, discard: nothing };
  try {
    for (const one of [0, 1].map(() => errorOf(inspect(staged, "a-1-0.conda", "alice"))))
      expect(await one).toMatchObject({ code: "unavailable", facts: { retryAfter: expect.any(Number) } });
  } finally {
    workers.close();
  }
});

describe("package inspection", () => {
  test("is fair: a user with many packages delays no other user", async () => {
    server = await startTestApp();
    const [alice, bob] = [await server.addUser("alice"), await server.addUser("bob")];
    const heavy = repeated("heavy", text, 12);
    let answered = 0;
    const all = Array.from({ length: 16 }, async () => {
      const answer = await dryRun(alice, "heavy", heavy);
      answered += 1;
      return answer.status;
    });
    await Bun.sleep(50);
    for (let round = 0; round < 3; round++) {
      const built = buildPackage({ name: "quick", version: String(round) });
      const answer = await bob.put(`/api/packages/bob/conda/main/${built.fileName}`, built.bytes);
      expect(answer.status).toBe(201);
    }
    expect(answered).toBeLessThan(10);
    expect(await Promise.all(all)).toEqual(Array.from({ length: 16 }, () => 200));
  }, 30_000);

  test("is limited to a configured processor time that grows with the unpacked bytes", async () => {
    const long = repeated("long", text, 4);
    server = await startTestApp({ settings: { "inspection-time": "0s" } });
    const refused = await dryRun(await server.addUser("alice"), "long", long);
    const problem: { detail: string; findings: unknown } = await jsonOf(refused);
    expect(refused.status).toBe(400);
    expect(problem.findings).toMatchObject([{ rule: "inspection-time" }]);
    expect(problem.detail).toContain("of CPU time");
    await server.close();
    server = await startTestApp({ settings: { "inspection-time": "10s" } });
    expect((await dryRun(await server.addUser("alice"), "long", long)).status).toBe(200);
  }, 30_000);

  test("refuses a bomb of a few bytes at little cost", async () => {
    const path = join(tmpdir(), `bomb-${process.pid}-1-0.tar.bz2`);
    await Bun.write(path, Buffer.from(BOMB, "base64"));
    try {
      const busy = startBusyTime();
      const inspection = await inspectArchive(path, { fileName: "bomb-1-0.tar.bz2", limits: ARCHIVE_LIMITS });
      expect(busy()).toBeLessThan(2500);
      expect(inspection).toMatchObject({ kind: "refused", findings: [{ rule: "unpacked-size" }] });
    } finally {
      await rm(path, { force: true });
    }
  }, 30_000);
});
