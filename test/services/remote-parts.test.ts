import { beforeEach, describe, expect, test } from "bun:test";
import { unavailable } from "../../src/errors.ts";
import { createEvents } from "../../src/events.ts";
import { toAppError } from "../../src/models/postgres/errors.ts";
import { createLogger } from "../../src/modules/log.ts";
import { createMetrics } from "../../src/modules/metrics.ts";
import { storageDown } from "../../src/modules/storage/s3/breaker.ts";
import { createRemoteParts, type RemoteParts } from "../../src/services/remote-parts.ts";
import { createTroubles, type Troubles } from "../../src/services/troubles.ts";

let elapsed: number;
let asked: Record<"database" | "storage", number>;
let faults: Partial<Record<"database" | "storage", Error>>;
let lines: Record<string, unknown>[];
let troubles: Troubles;
let remote: RemoteParts;

beforeEach(() => {
  elapsed = 0;
  asked = { database: 0, storage: 0 };
  faults = {};
  lines = [];
  const clock = { now: () => 0, elapsed: () => elapsed };
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  const log = createLogger({ level: "debug", write });
  troubles = createTroubles({ events: createEvents({ log, metrics: createMetrics() }), clock });
  const ask = (part: "database" | "storage") => async (): Promise<void> => {
    asked[part] += 1;
    await Bun.sleep(5);
    if (faults[part]) throw faults[part];
  };
  const [database, blobs] = [{ requireReady: ask("database") }, { requireReady: ask("storage") }];
  remote = createRemoteParts({ database, blobs, clock }, troubles);
});

const events = () => lines.map(({ event, kind }) => `${String(event)} ${String(kind)}`);
const LOST = toAppError(
  Object.assign(new Error("Connection closed"), { code: "ERR_POSTGRES_CONNECTION_CLOSED" }),
) as Error;
const GONE = storageDown(10, new Error("connect ECONNREFUSED 10.0.0.1:9000"));

describe("a part on another machine", () => {
  test("is asked once by all that ask together, and not again for some seconds", async () => {
    await Promise.all(Array.from({ length: 20 }, () => remote.storage.fault(5000)));
    elapsed += 4999;
    await Promise.all(Array.from({ length: 20 }, () => remote.storage.fault(5000)));
    expect(asked).toEqual({ database: 0, storage: 1 });
    elapsed += 2;
    expect(await remote.storage.fault(5000)).toBeUndefined();
    expect(asked.storage).toBe(2);
  });

  test("that fails is one line when that begins, with the reason, and one when it ends, with the duration", async () => {
    faults.storage = GONE;
    for (let times = 0; times < 10; times++) {
      expect(await remote.storage.fault(0)).toBe(GONE);
      elapsed += 1000;
    }
    expect(troubles.notReady()).toEqual([
      { part: "storage", detail: expect.stringContaining("cannot use its storage") },
    ]);
    expect(JSON.stringify(troubles.notReady())).not.toContain("10.0.0.1");
    faults = {};
    await remote.storage.fault(0);
    await remote.storage.fault(0);
    expect(events()).toEqual(["trouble storage", "trouble-ended storage"]);
    expect(lines[0]).toMatchObject({ level: "error", reason: "connect ECONNREFUSED 10.0.0.1:9000" });
    expect(lines[1]).toMatchObject({ seconds: 10, msg: "the storage of the packages answers again, after 10 s" });
    expect(troubles.notReady()).toEqual([]);
  });

  test("is asked when it fails a request, which alone is no trouble", async () => {
    remote.blame(LOST);
    remote.blame(LOST);
    remote.blame(unavailable("busy", 1));
    remote.blame(new Error("a mistake"));
    await Bun.sleep(30);
    expect([asked, events()]).toEqual([{ database: 1, storage: 0 }, []]);
    faults.database = LOST;
    elapsed += 1001;
    remote.blame(LOST);
    await Bun.sleep(30);
    expect(events()).toEqual(["trouble database-server"]);
    expect(troubles.notReady()).toEqual([{ part: "database", detail: expect.stringContaining("cannot be reached") }]);
  });

  test("that is known to fail is no reason for a line for each request", async () => {
    expect(remote.withoutKnownCause(LOST)).toBe(LOST);
    faults = { database: LOST };
    await remote.database.fault(0);
    expect(remote.withoutKnownCause(LOST)).toMatchObject({
      code: "unavailable",
      message: LOST.message,
      facts: { retryAfter: 5, cause: undefined },
    });
    expect(remote.withoutKnownCause(GONE)).toBe(GONE);
  });

  test("is looked at without requests: the database always, the storage until its trouble has ended", async () => {
    for (let second = 0; second < 20; second++) {
      remote.look();
      await Bun.sleep(7);
      elapsed += 1000;
    }
    expect(asked).toEqual({ database: 4, storage: 0 });
    faults = { storage: GONE };
    await remote.storage.fault(0);
    faults = {};
    for (let second = 0; second < 20; second++) {
      elapsed += 1000;
      remote.look();
      await Bun.sleep(7);
    }
    expect(asked.storage).toBe(2);
    expect(events()).toEqual(["trouble storage", "trouble-ended storage"]);
  });
});
