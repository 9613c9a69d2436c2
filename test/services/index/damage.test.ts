// What index.db says is checked when it is read: bytes that are not what was written are never served.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { openSnapshots } from "../../../src/models/database.ts";
import { openDerived } from "../../../src/models/derived.ts";
import { systemClock } from "../../../src/modules/clock.ts";
import { createDerivedFiles } from "../../../src/modules/storage/derived-files.ts";
import { createDiskStore } from "../../../src/modules/storage/disk.ts";
import { CODEC } from "../../../src/services/index/codec.ts";
import type { DocumentName } from "../../../src/services/index/documents.ts";
import { createIndexBuilder } from "../../../src/services/index/index-builder.ts";
import { startTestApp } from "../../support/app.ts";
import {
  filledFolder,
  publish,
  readDocuments,
  rowsOf,
  runSql,
  type FilledFolder,
} from "../../support/indexed-channel.ts";

let filled: FilledFolder;
beforeAll(async () => {
  filled = await filledFolder();
});
afterAll(() => filled.remove());

const LONG_AGO = new Date(0);
const ONE = "(SELECT min(id) FROM segment WHERE section = 'noarch' AND family = 'repodata')";
const DAMAGES: Readonly<Record<string, string>> = {
  "one byte of a segment": `UPDATE segment_data SET blocks = CAST(substr(blocks, 1, 40) || x'00' || substr(blocks, 42) AS BLOB) WHERE id = ${ONE}`,
  "the size of a segment": `UPDATE segment SET size = size + 1 WHERE id = ${ONE}`,
  "the start of a segment":
    "UPDATE segment SET start = start || 'x' WHERE id IN (SELECT max(id) FROM segment GROUP BY family, section)",
  "a segment without its bytes": `DELETE FROM segment_data WHERE id = ${ONE}`,
  "a piece of bzip2": `UPDATE segment_data SET bzip2 = CAST(substr(bzip2, 1, 40) || x'00' || substr(bzip2, 42) AS BLOB) WHERE id = ${ONE}`,
  "an entry": "UPDATE entry SET value = CAST(substr(value, 1, 3) || x'00' || substr(value, 5) AS BLOB)",
  "the name of an entry": "UPDATE entry SET name = name || '-other' WHERE name = 'later'",
};

test.each(Object.keys(DAMAGES))("%s that has changed by itself has the channel made anew", async (name) => {
  const folder = await filled.copy();
  // Files that outlived the start would hide it.
  rmSync(join(folder, "derived"), { recursive: true, force: true });
  const server = await startTestApp({ folder });
  try {
    runSql(server, "index.db", DAMAGES[name] ?? "");
    expect(await readDocuments(server.as("user"))).toEqual(filled.sound);
    expect(server.log()).not.toContain("internal-error");
  } finally {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  }
});

test("work that was cut off before the database was set back to where it had begun leaves nothing behind", async () => {
  const folder = await filled.copy();
  let server = await startTestApp({ folder });
  try {
    await publish(server.as("user"), { name: "pkg-1", version: "7" });
    const documents = await readDocuments(server.as("user"));
    await server.close();
    const backup = await Bun.file(join(folder, "condarium.db")).bytes();
    server = await startTestApp({ folder });
    await publish(server.as("user"), { name: "pkg-1", version: "8" });
    await server.close();
    for (const name of ["repodata.json", "run_exports.json", "repodata_shards.msgpack.zst"] as const)
      expect(await cutOff(folder, name).catch((error: unknown) => String(error))).toContain("cut off");
    await Bun.write(join(folder, "condarium.db"), backup);
    server = await startTestApp({ folder });
    expect(await readDocuments(server.as("user"))).toEqual(documents);
  } finally {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  }
});

/** Builds a document as a process does that ends when all has been written but how far it came. */
async function cutOff(folder: string, name: DocumentName): Promise<void> {
  const derived = openDerived(join(folder, "index.db"), CODEC);
  const snapshots = openSnapshots(join(folder, "condarium.db"));
  const builder = createIndexBuilder({
    snapshots,
    derived: {
      ...derived,
      setState: (place, state) => {
        if (state.revision === state.ahead.revision) throw new Error("cut off");
        derived.setState(place, state);
      },
    },
    files: createDerivedFiles(folder),
    blobs: createDiskStore({ root: folder, reserve: 0 }),
    clock: systemClock,
  });
  try {
    await builder.build({ channelId: 1, section: "noarch", name, address: { title: "", url: "" } });
  } finally {
    derived.close();
    snapshots.close();
  }
}

test("a channel that was deleted leaves nothing in index.db once a server starts anew", async () => {
  const folder = await filled.copy();
  let server = await startTestApp({ folder });
  try {
    const channels = (): unknown[] => rowsOf(server, "index.db", "SELECT DISTINCT channel_id AS id FROM segment");
    await readDocuments(server.as("user"));
    expect(channels()).toHaveLength(1);
    runSql(server, "index.db", "UPDATE state SET channel_id = 999", "UPDATE segment SET channel_id = 999");
    await server.close();
    server = await startTestApp({ folder });
    rmSync(join(folder, "derived"), { recursive: true, force: true });
    expect(await readDocuments(server.as("user"))).toEqual(filled.sound);
    expect(channels()).toEqual([{ id: 1 }]);
  } finally {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  }
});

test("a start keeps the newest file of each document, and none of a channel that has gone or of a machine started anew", async () => {
  const folder = await filled.copy();
  let server = await startTestApp({ folder });
  const files = (): string[] =>
    readdirSync(join(folder, "derived"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && entry.name !== "boot")
      .map(({ parentPath, name }) => join(parentPath, name));
  const restart = async (): Promise<void> => {
    await server.close();
    server = await startTestApp({ folder });
  };
  try {
    await readDocuments(server.as("user"));
    const made = files();
    expect(made).not.toBeEmpty();
    const times = made.map((path) => statSync(path).mtimeMs);
    for (const path of made) {
      await Bun.write(`${path.slice(0, -64)}${"0".repeat(64)}`, "older");
      await Bun.write(`${path}.0123456789abcdef`, "half made");
      utimesSync(`${path.slice(0, -64)}${"0".repeat(64)}`, LONG_AGO, LONG_AGO);
    }
    await Bun.write(join(folder, "derived", "999", "noarch", "repodata.json", "1".repeat(64)), "of nobody");
    await restart();
    expect(files()).toEqual(made);
    expect(await readDocuments(server.as("user"))).toEqual(filled.sound);
    expect(made.map((path) => statSync(path).mtimeMs)).toEqual(times);

    await Bun.write(join(folder, "derived", "boot"), "another start of the machine");
    await restart();
    expect(files()).toEqual([]);
    expect(await readDocuments(server.as("user"))).toEqual(filled.sound);
  } finally {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  }
});
