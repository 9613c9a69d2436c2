// The contents of index.db are checked on every read: bytes that differ from what was written are never served.

import { expect, test } from "bun:test";
import { readdirSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { builderHere } from "../../support/index-builders.ts";
import {
  copiedChannel,
  deleteIndexDatabase,
  ONE_SEGMENT,
  publish,
  readDocuments,
  rowsOf,
  runSql,
} from "../../support/indexed-channel.ts";
import { openedEngines } from "../../support/engines.ts";

const channel = copiedChannel();
const { withCopy, restart } = channel;

const LONG_AGO = new Date(0);
/** Eight changed bytes of a value, a little behind its start. */
const otherBytes = (column: string): string =>
  `CAST(substr(${column}, 1, 40) || x'a1b2c3d4e5f60718' || substr(${column}, 49) AS BLOB)`;
const DAMAGES: Readonly<Record<string, string>> = {
  "the bytes of a segment": `UPDATE segment_data SET blocks = ${otherBytes("blocks")} WHERE id = ${ONE_SEGMENT}`,
  "the size of a segment": `UPDATE segment SET size = size + 1 WHERE id = ${ONE_SEGMENT}`,
  "the start of a segment":
    "UPDATE segment SET start = start || 'x' WHERE id IN (SELECT max(id) FROM segment GROUP BY layout, section)",
  "the row of a segment's bytes": `DELETE FROM segment_data WHERE id = ${ONE_SEGMENT}`,
  "the bzip2 blocks of a segment": `UPDATE segment_data SET bzip2 = ${otherBytes("bzip2")} WHERE id = ${ONE_SEGMENT}`,
  "an entry": "UPDATE entry SET value = CAST(substr(value, 1, 3) || x'00' || substr(value, 5) AS BLOB)",
  "the name of an entry": "UPDATE entry SET name = name || '-other' WHERE name = 'later'",
};

const read = (): Promise<Map<string, string>> => readDocuments(channel.server.as("user"));

test.each(Object.keys(DAMAGES))("a channel is rebuilt after damage to %s", (name) =>
  withCopy(async () => {
    // Files that survived the start would hide the damage.
    rmSync(join(channel.server.folder, "derived"), { recursive: true, force: true });
    runSql(channel.server, "index.db", DAMAGES[name] ?? "");
    expect(await read()).toEqual(channel.sound);
    expect(channel.server.log()).not.toContain("internal-error");
  }),
);

test("a full build that passed the revision which the database is set back to leaves nothing behind", () =>
  withCopy(async () => {
    const { folder } = channel.server;
    let elapsed = 0;
    // Every step is late at once.
    const clock = { now: () => 0, elapsed: () => (elapsed += 1000) };
    const [request, STATE] = [
      {
        channelId: 1,
        view: "main",
        section: "noarch",
        name: "repodata.json",
        address: { title: "", url: "" },
      } as const,
      "SELECT cursor, revision, high_water_revision AS ahead FROM state WHERE section = 'noarch' AND layout = 'repodata'",
    ];
    const step = async (): Promise<{ cursor: string | null; revision: number; ahead: number }> => {
      const builder = builderHere(folder, folder, clock);
      expect((await builder.build(request)).kind).toBe("more");
      await builder.close();
      const [state] = rowsOf({ folder }, "index.db", STATE);
      return z.object({ cursor: z.string().nullable(), revision: z.number(), ahead: z.number() }).parse(state);
    };
    let setBack = async (): Promise<void> => {};
    let begun = 0;
    await restart(async () => {
      setBack = await openedEngines(folder).save();
      deleteIndexDatabase(folder);
      const { cursor, revision } = await step();
      expect(cursor).not.toBeNull();
      begun = revision;
    });
    await publish(channel.server.as("user"), { name: "zzz", version: "1", flags: ["cuda"] });
    await restart(async () => {
      let state = await step();
      for (let steps = 0; state.cursor !== null && steps < 100; steps += 1) state = await step();
      expect(state).toEqual({ cursor: null, revision: begun, ahead: begun + 1 });
      await setBack();
    });
    expect(await read()).toEqual(channel.sound);
  }));

test("a deleted channel leaves nothing in index.db after a restart", () =>
  withCopy(async () => {
    const channels = (): unknown[] =>
      rowsOf(channel.server, "index.db", "SELECT DISTINCT channel_id AS id FROM segment");
    await read();
    expect(channels()).toHaveLength(1);
    runSql(channel.server, "index.db", "UPDATE state SET channel_id = 999", "UPDATE segment SET channel_id = 999");
    await restart();
    rmSync(join(channel.server.folder, "derived"), { recursive: true, force: true });
    expect(await read()).toEqual(channel.sound);
    expect(channels()).toEqual([{ id: 1 }]);
  }));

test("a start keeps the newest file of each document, and none of a deleted channel or an interrupted build", () =>
  withCopy(async () => {
    const derived = join(channel.server.folder, "derived");
    const files = (): string[] =>
      readdirSync(derived, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && entry.name !== "boot")
        .map(({ parentPath, name }) => join(parentPath, name));
    await read();
    const made = files();
    expect(made).not.toBeEmpty();
    const times = made.map((path) => statSync(path).mtimeMs);
    for (const path of made) {
      const older = `${path.slice(0, -64)}${"0".repeat(64)}`;
      await Bun.write(older, "older");
      await Bun.write(`${path}.0123456789abcdef`, "half made");
      utimesSync(older, LONG_AGO, LONG_AGO);
    }
    await Bun.write(join(derived, "999", "noarch", "repodata.json", "1".repeat(64)), "of nobody");
    await restart();
    expect(files()).toEqual(made);
    expect(await read()).toEqual(channel.sound);
    expect(made.map((path) => statSync(path).mtimeMs)).toEqual(times);

    await Bun.write(join(derived, "boot"), "another start of the machine");
    await restart();
    expect(files()).toEqual([]);
    expect(await read()).toEqual(channel.sound);
  }));
