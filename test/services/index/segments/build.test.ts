// A full build that is interrupted at every possible point equals one without an interruption.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findChannel } from "../../../../src/models/channel.ts";
import { openSnapshots } from "../../../../src/models/open-database.ts";
import { openDerived } from "../../../../src/models/index/db.ts";
import { findOwner } from "../../../../src/models/owner.ts";
import { pagesOfSection } from "../../../../src/models/indexed-file.ts";
import { systemClock } from "../../../../src/modules/clock.ts";
import { REPODATA } from "../../../../src/services/conda/documents/layouts.ts";
import { requireReadable } from "../../../../src/services/conda/documents/unreadable.ts";
import { createRecords } from "../../../../src/services/index/records.ts";
import { buildSegments } from "../../../../src/services/index/segments/build.ts";
import { seedChannel } from "../../../bench/channel-seed.ts";
import { startTestApp } from "../../../support/app.ts";
import { buildPackage } from "../../../support/package-builder.ts";
import { storedSegments } from "../../../support/stored-segments.ts";
import { sourceOf } from "../../../support/rows.ts";

setDefaultTimeout(60_000);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-build-"));
  await seedChannel(folder, 3000);
  const server = await startTestApp({ folder });
  const administrator = await server.addUser("other", { admin: true });
  for (const [name, format, schema_version] of [
    ["aaa", "tar.bz2", 1],
    ["later", "conda", 3],
    ["zzz", "tar.bz2", 3],
    ["zzzz", "tar.bz2", 1],
  ] as const) {
    const { fileName, bytes } = buildPackage({ name, version: "1", subdir: "linux-64", format, schema_version });
    const { status } = await administrator.put(`/api/packages/admin/conda/main/${fileName}`, bytes);
    expect([name, status]).toEqual([name, 201]);
  }
  await server.close();
});
afterAll(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));

async function built(budget: number): Promise<{ steps: number; groups: unknown[] }> {
  const snapshots = openSnapshots(sourceOf(folder));
  const derived = openDerived(join(folder, `index-${budget}.db`), "codec");
  try {
    return await snapshots.snapshot(async (reader) => {
      const owner = await findOwner(reader, "admin");
      const channel = await findChannel(reader, owner?.id ?? 0, "conda", "main");
      const scope = { channelId: channel?.id ?? 0, view: "main", section: "linux-64", layout: "repodata" };
      let [cursor, steps]: [string | null, number] = [null, 0];
      do {
        const parts = { records: createRecords(reader, requireReadable), derived, clock: systemClock, budget };
        cursor = await buildSegments(parts, scope, REPODATA, cursor);
        steps += 1;
      } while (cursor !== null);
      return { steps, groups: REPODATA.groups.map(({ name }) => storedSegments(derived, { ...scope, group: name })) };
    });
  } finally {
    derived.close();
    await snapshots.close();
  }
}

test("a build gives the same segments however often it is interrupted", async () => {
  const [once, often] = [await built(Number.POSITIVE_INFINITY), await built(-1)];
  expect(often.groups).toEqual(once.groups);
  expect(once.steps).toBe(1);
  expect(often.steps).toBeGreaterThan(10);
  const texts = once.groups.map((rows) => JSON.stringify(rows));
  const has = ["aaa-1-0", "later-1-0", "zzz-1-0", "zzzz-1-0"].map((stem) =>
    texts.map((text) => text.includes(`"${stem}`)),
  );
  expect(has).toEqual([
    [true, false, false, false],
    [false, false, true, false],
    [false, false, false, true],
    [true, false, false, false],
  ]);
});

test("a page that looks for few files among many ends before it has read all of them", async () => {
  const snapshots = openSnapshots(sourceOf(folder));
  const pages = await snapshots.snapshot(async (reader) => {
    const found: { files: string[]; isLast: boolean }[] = [];
    const range = { channelId: 1, section: "linux-64", ending: ".tar.bz2", limit: 250 };
    for await (const { files, through } of pagesOfSection(reader, range))
      found.push({ files: files.map(({ fileName }) => fileName), isLast: through === undefined });
    return found;
  });
  await snapshots.close();
  expect(pages).toEqual([
    { files: ["aaa-1-0.tar.bz2"], isLast: false },
    { files: ["zzz-1-0.tar.bz2", "zzzz-1-0.tar.bz2"], isLast: true },
  ]);
});

test("a client that waits for very long gets 503 with Retry-After, and the work done so far is kept", async () => {
  let elapsed = 0;
  const server = await startTestApp({ folder, clock: { now: () => Date.now(), elapsed: () => (elapsed += 20_000) } });
  const statuses: number[] = [];
  do {
    const answer = await server.anonymous.get("/admin/main/linux-64/repodata.json.zst");
    if (answer.status === 503) expect(answer.headers.get("retry-after")).toBe("5");
    await answer.arrayBuffer();
    statuses.push(answer.status);
  } while (statuses.at(-1) === 503 && statuses.length < 100);
  expect([statuses[0], statuses.at(-1)]).toEqual([503, 200]);
  await server.close();
});
