// Rows above the size limit of a file, as older releases stored them, are in no document, reported, and cost little.

import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Reader } from "../../../src/models/database.ts";
import { openSnapshots } from "../../../src/models/open-database.ts";
import { MOST_STORED, pagesOfName, pagesOfSection } from "../../../src/models/indexed-file.ts";
import { bytesOf } from "../../support/answers.ts";
import { derivedDataIsLetGo, startTestApp, type TestApp } from "../../support/app.ts";
import { shardHashes, shardIndexOf } from "../../support/documents.ts";
import { problemsOf } from "../../support/problems.ts";
import { seedWorstChannel } from "../../support/worst-channels.ts";
import { openTables, sourceOf } from "../../support/rows.ts";

setDefaultTimeout(60_000);

const KIB = 1024;
const PLACE = { channelId: 1, section: "noarch" };

let folder: string;
let server: TestApp;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "condarium-limits-"));
  await seedWorstChannel(folder, { names: 3, files: 8, record: 250 * KIB, runExports: 0, text: "repeated" });
  const tables = openTables(folder);
  // One megabyte long, and exactly as long as allowed.
  const longer = (column: string, file: string, bytes: number): void => {
    const text = `replace(${column}, '"}', '${"x".repeat(bytes)}"}')`;
    tables.run(`UPDATE package_file SET ${column} = ${text} WHERE file_name = ?`, file);
  };
  longer("record", "n0-1.0-0.conda", 1024 * KIB);
  const [stored] = tables.all(
    "SELECT octet_length(record) + octet_length(metadata) AS bytes FROM package_file WHERE file_name = 'n1-1.0-0.conda'",
  );
  longer("record", "n1-1.0-0.conda", MOST_STORED - Number(stored?.bytes));
  tables.run(
    "UPDATE package_file SET metadata = replace(metadata, '{}', ?) WHERE file_name = 'n2-1.0-0.conda'",
    `{"weak":["${"y".repeat(16 * 1024 * KIB)}"]}`,
  );
  tables.close();
  server = await startTestApp({ folder });
});
afterAll(async () => {
  await server.close();
  await derivedDataIsLetGo(folder);
  await rm(folder, { recursive: true, force: true, maxRetries: 5 });
});

async function textOf(path: string): Promise<string> {
  const answer = await server.anonymous.get(`/busy/main/${path}`);
  expect([path, answer.status]).toEqual([path, 200]);
  return Buffer.from(await bytesOf(answer)).toString();
}

test("a row above the size limit of a file is in no document, and one just below it is in all", async () => {
  for (const path of ["noarch/repodata.json", "noarch/run_exports.json", "noarch/current_repodata.json", "rss.xml"]) {
    const document = await textOf(path);
    for (const gone of ["n0-1.0-0.conda", "n2-1.0-0.conda"])
      expect([path, document.includes(gone)]).toEqual([path, false]);
    const exists = document.includes("n1-1.0-0.conda");
    expect([path, exists]).toEqual([path, !path.includes("current")]);
  }
  const index = await bytesOf(await server.anonymous.get("/busy/main/noarch/repodata_shards.msgpack.zst"));
  expect(Object.keys(shardHashes(shardIndexOf(index)))).toEqual(["n0", "n1", "n2"]);
  const channeldata = await textOf("channeldata.json");
  expect(channeldata.length).toBeLessThan(10 * KIB);
  expect(Object.keys(JSON.parse(channeldata).packages)).toEqual(["n0", "n1", "n2"]);
});

test("a row above the size limit is counted, and the check reports its size and the limit", async () => {
  await textOf("noarch/repodata.json");
  expect(await server.app.metrics.render()).toContain("condarium_records_set_aside 2");
  const reported = JSON.stringify(await problemsOf(server, "deep"));
  for (const gone of ["n0-1.0-0.conda", "n2-1.0-0.conda"]) expect(reported).toContain(gone);
  expect(reported).toContain(`the limit per file is ${MOST_STORED} bytes`);
});

test("a page contains as many files as fit into a megabyte, and at least one", async () => {
  const snapshots = openSnapshots(sourceOf(folder));
  const sizes = async (pages: (reader: Reader) => AsyncIterable<readonly { record: string; metadata: string }[]>) =>
    await snapshots.snapshot(async (reader) => {
      const found: { files: number; bytes: number }[] = [];
      for await (const files of pages(reader)) {
        const bytes = files.reduce((sum, file) => sum + file.record.length + file.metadata.length, 0);
        found.push({ files: files.length, bytes });
      }
      return found;
    });
  const ofSection = await sizes(async function* (reader) {
    for await (const { files } of pagesOfSection(reader, { ...PLACE, limit: 250 })) yield files;
  });
  const ofName = await sizes((reader) => pagesOfName(reader, PLACE, "n2"));
  expect(ofSection.reduce((sum, { files }) => sum + files, 0)).toBe(24);
  expect(ofName.reduce((sum, { files }) => sum + files, 0)).toBe(8);
  for (const { bytes } of [...ofSection, ...ofName]) expect(bytes).toBeLessThanOrEqual(1024 * KIB);
  await snapshots.close();
});
