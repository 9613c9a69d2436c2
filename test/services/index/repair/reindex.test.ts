// `reindex` leaves intact documents unchanged, repairs stored data that differs, and does not disturb a running server.

import { describe, expect, test } from "bun:test";
import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { openSnapshots } from "../../../../src/models/open-database.ts";
import { DerivedBusy } from "../../../../src/models/index/scope.ts";
import { copyScopes } from "../../../../src/models/index/copy.ts";
import { openDerived } from "../../../../src/models/index/db.ts";
import { systemClock } from "../../../../src/modules/clock.ts";
import { createDerivedFiles } from "../../../../src/modules/storage/derived-files.ts";
import { condaIndex } from "../../../../src/services/conda/index-format.ts";
import { createIndexBuilder } from "../../../../src/services/index/builder.ts";
import { PLAIN_VIEW } from "../../../../src/services/index/documents.ts";
import type { ReindexedDocument } from "../../../../src/services/index/repair/reindex.ts";
import type { Problem } from "../../../../src/services/storage/verify.ts";
import { bytesOf } from "../../../support/answers.ts";
import { filesIn, repodataOf } from "../../../support/documents.ts";
import {
  copiedChannel,
  deleteIndexDatabase,
  NO_DATABASE,
  ONE_SEGMENT,
  publish,
  readDocuments,
  rowsOf,
  runSql,
  shardFile,
} from "../../../support/indexed-channel.ts";
import { contentFile } from "../../../support/engines.ts";
import { blobsOf } from "../../../support/index-builders.ts";
import { problemsOf } from "../../../support/problems.ts";
import { runHere } from "../../../support/run-here.ts";
import { sourceOf } from "../../../support/rows.ts";

const channel = copiedChannel();
const { withCopy } = channel;

/** The documents that reindex reports, by result. */
async function reindex(): Promise<Record<string, string[]>> {
  const documents: ReindexedDocument[] = [];
  const summary = await channel.server.app.reindex({ onDocument: (document) => void documents.push(document) });
  expect(
    readdirSync(join(channel.server.folder, "tmp"), { withFileTypes: true }).filter((entry) => entry.isDirectory()),
  ).toEqual([]);
  expect(summary.documents).toBe(documents.length);
  expect(summary.mended).toBe(documents.filter(({ result }) => result === "mended").length);
  const results = Object.groupBy(documents, ({ result }) => result);
  const names = (of: readonly ReindexedDocument[] = []): string[] =>
    of.map(({ section, document }) => [section, document].filter((part) => part !== "").join("/")).sort();
  return { same: names(results.same), mended: names(results.mended), unread: names(results.unread) };
}

const OF_A_SECTION = [
  ...["", ".zst"].map((form) => `current_repodata.json${form}`),
  ...["", ".bz2", ".zst"].map((form) => `repodata.json${form}`),
  "repodata_shards.msgpack.zst",
  ...["", ".zst"].map((form) => `run_exports.json${form}`),
];
const ALL = [
  "channeldata.json",
  ...["linux-64", "noarch"].flatMap((section) => OF_A_SECTION.map((name) => `${section}/${name}`)),
];

function placeOf(name: string): string {
  const { folder } = channel.server;
  return name === "shards" ? contentFile(folder, name) : join(folder, name);
}

/** Everything stored for documents: rows, and files with the times of their last change. */
function storedState(): unknown {
  const tables = ["state", "segment", "segment_data", "entry", "skipped"];
  const files = ["shards", "derived"].flatMap((folder) =>
    readdirSync(placeOf(folder), { recursive: true, encoding: "utf8" }).map((name) => {
      const { size, mtimeMs } = statSync(join(placeOf(folder), name));
      return `${folder}/${name} ${size} ${mtimeMs}`;
    }),
  );
  const revisions = rowsOf(channel.server, "condarium.db", "SELECT revision FROM channel");
  return {
    rows: tables.map((table) => rowsOf(channel.server, "index.db", `SELECT * FROM ${table}`)),
    files: files.sort(),
    revisions,
  };
}

describe("reindex on an intact channel", () => {
  test("changes nothing, to the last byte", () =>
    withCopy(async () => {
      await readDocuments(channel.server.as("user"));
      const before = storedState();
      expect(await reindex()).toEqual({ same: ALL, mended: [], unread: [] });
      expect(storedState()).toEqual(before);
    }));

  test("accepts documents newer than the stored ones, or not stored at all", () =>
    withCopy(async () => {
      const user = channel.server.as("user");
      await publish(user, { name: "pkg-1", version: "7" });
      await user.delete("/user/main/noarch/pkg-2-1.2-0.conda");
      expect(await reindex()).toEqual({ same: ALL, mended: [], unread: [] });
      await channel.restart(() => deleteIndexDatabase(channel.server.folder));
      expect(await reindex()).toEqual({ same: [], mended: [], unread: ALL });
      expect(readdirSync(channel.server.folder)).not.toContain("index.db");
    }));
});

const NOARCH_REPODATA = ["noarch/repodata.json", "noarch/repodata.json.bz2", "noarch/repodata.json.zst"];
const OTHER_SEGMENT = "(SELECT max(id) FROM segment WHERE section = 'noarch' AND layout = 'repodata')";

type Damage = { readonly damage: () => void | Promise<void>; readonly mended: readonly string[] };

const DAMAGES: Readonly<Record<string, Damage>> = {
  "a segment with the blocks of another": {
    damage: () =>
      runSql(
        channel.server,
        "index.db",
        `UPDATE segment_data SET blocks = (SELECT blocks FROM segment_data WHERE id = ${OTHER_SEGMENT}) WHERE id = ${ONE_SEGMENT}`,
      ),
    mended: NOARCH_REPODATA,
  },
  "a missing segment": {
    damage: () => runSql(channel.server, "index.db", `DELETE FROM segment WHERE id = ${ONE_SEGMENT}`),
    mended: NOARCH_REPODATA,
  },
  "broken bzip2 blocks": {
    damage: () =>
      runSql(channel.server, "index.db", `UPDATE segment_data SET bzip2 = x'0000' WHERE id = ${ONE_SEGMENT}`),
    mended: ["noarch/repodata.json.bz2"],
  },
  "a missing name": {
    damage: () => runSql(channel.server, "index.db", "DELETE FROM entry WHERE name = 'later'"),
    mended: ["channeldata.json", "noarch/repodata_shards.msgpack.zst"],
  },
  "a broken shard": {
    damage: async () => {
      const path = await shardFile(channel.server, channel.server.as("user"), "extra");
      await Bun.write(path, "broken");
    },
    mended: ["noarch/repodata_shards.msgpack.zst"],
  },
  "missing shards": {
    damage: () => rmSync(contentFile(channel.server.folder, "shards"), { recursive: true }),
    mended: ["linux-64/repodata_shards.msgpack.zst", "noarch/repodata_shards.msgpack.zst"],
  },
};

describe("reindex repairs", () => {
  test.each(Object.keys(DAMAGES))("%s, and names the documents", (name) =>
    withCopy(async () => {
      const { damage, mended } = DAMAGES[name] ?? { damage: () => {}, mended: [] };
      await damage();
      expect(await reindex()).toEqual({
        same: ALL.filter((path) => !mended.includes(path)),
        mended: [...mended],
        unread: [],
      });
      expect(await reindex()).toEqual({ same: ALL, mended: [], unread: [] });
      expect(await readDocuments(channel.server.as("user"))).toEqual(channel.sound);
      expect(await problemsOf(channel.server, "deep")).toEqual([]);
    }),
  );

  test("what the running server has read from damaged data, in files and in memory", () =>
    withCopy(async () => {
      const user = channel.server.as("user");
      runSql(
        channel.server,
        "index.db",
        "DELETE FROM segment WHERE id IN (SELECT max(id) FROM segment WHERE layout = 'repodata' GROUP BY section)",
        "DELETE FROM entry WHERE layout = 'channeldata' AND name = 'later'",
      );
      const served = await readDocuments(user);
      for (const path of ["channeldata.json", "linux-64/repodata.json", "noarch/repodata.json"])
        expect(served.get(path)).not.toBe(channel.sound.get(path));
      expect((await reindex()).mended).toEqual(ALL.filter((path) => /channeldata|\/repodata\.json/.test(path)));
      expect(await readDocuments(user)).toEqual(channel.sound);
    }));

  test("a changed document file whose source is intact", () =>
    withCopy(async () => {
      await readDocuments(channel.server.as("user"));
      const folder = join(channel.server.folder, "derived", "1");
      const files = readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ parentPath, name }) => join(parentPath, name));
      expect(files.length).toBeGreaterThan(0);
      for (const path of files) await Bun.write(path, new Uint8Array(statSync(path).size));
      const { mended } = await reindex();
      expect(mended).toContain("noarch/repodata.json");
      expect(mended).toHaveLength(files.length);
      expect(await readDocuments(channel.server.as("user"))).toEqual(channel.sound);
    }));

  test("an invalid file of derived data", () =>
    withCopy(async () => {
      await channel.restart(async () => {
        deleteIndexDatabase(channel.server.folder);
        await Bun.write(join(channel.server.folder, "index.db"), NO_DATABASE);
      });
      expect(await reindex()).toEqual({ same: [], mended: ["index.db"], unread: ALL });
      expect(await readDocuments(channel.server.as("user"))).toEqual(channel.sound);
      expect(await reindex()).toEqual({ same: ALL, mended: [], unread: [] });
    }));
});

describe("during publishes and reads", () => {
  test("reindex and the deep check find nothing, and no reader misses a package", () =>
    withCopy(async () => {
      const user = channel.server.as("user");
      const over = new AbortController();
      const publishing = (async () => {
        for (let at = 0; !over.signal.aborted; at += 1) {
          const fileName = await publish(user, { name: `busy-${at % 5}`, version: `${at}`, depends: ["pkg-1"] });
          const path = NOARCH_REPODATA[at % 3] ?? "";
          const answer = await user.get(`/user/main/${path}`);
          expect([path, answer.status]).toEqual([path, 200]);
          const listed = filesIn(repodataOf(path, await bytesOf(answer)));
          expect(listed).toContain(fileName);
          if (at % 4 === 3) expect((await user.delete(`/user/main/noarch/${fileName}`)).status).toBe(204);
          await Bun.sleep(5);
        }
      })();
      const problems: Problem[] = [];
      for (let round = 0; round < 2; round += 1) {
        expect((await reindex()).mended).toEqual([]);
        problems.push(...(await problemsOf(channel.server, "deep")));
      }
      // Repaired while the server runs: its own catch-up must not undo the repair.
      runSql(channel.server, "index.db", "DELETE FROM entry WHERE layout = 'shards' AND name = 'native'");
      expect((await reindex()).mended).toEqual(["linux-64/repodata_shards.msgpack.zst"]);
      problems.push(...(await problemsOf(channel.server, "deep")));
      over.abort();
      await publishing;
      expect(problems).toEqual([]);
      expect(channel.server.log()).not.toContain("internal-error");
    }));

  test("a build step and another process wait for each other, and the response is right", () =>
    withCopy(async () => {
      await publish(channel.server.as("user"), { name: "pkg-1", version: "7" });
      const { folder } = channel.server;
      await channel.restart(async () => {
        const stored = join(folder, "index.db");
        const derived = openDerived(stored, condaIndex.codec);
        const blobs = blobsOf(folder);
        const elsewhere = join(folder, "elsewhere.db");
        openDerived(elsewhere, condaIndex.codec).close();
        const scope = { channelId: 1, view: PLAIN_VIEW, section: "noarch", layout: "shards" };
        copyScopes({ from: stored, to: elsewhere }, [scope]);
        const revision = derived.state(scope)?.revision ?? 0;
        expect(revision).toBeGreaterThan(0);
        let overtaken = 0;
        const snapshots = openSnapshots(sourceOf(folder));
        const builder = createIndexBuilder({
          derived,
          snapshots,
          files: createDerivedFiles(folder),
          clock: systemClock,
          format: condaIndex,
          blobs: {
            ...blobs,
            putDerived: async (key, content) => {
              if (overtaken++ === 0)
                expect(() => copyScopes({ from: elsewhere, to: stored }, [scope])).toThrow(DerivedBusy);
              await blobs.putDerived(key, content);
            },
          },
        });
        const request = { ...scope, name: "repodata_shards.msgpack.zst", address: { title: "", url: "" } } as const;
        const other = openDerived(stored, condaIndex.codec);
        await other.exclusively(async () => expect((await builder.build(request)).kind).toBe("busy"));
        other.close();
        expect([derived.state(scope)?.revision, overtaken]).toEqual([revision, 0]);
        expect((await builder.build(request)).kind).toBe("built");
        expect(overtaken).toBeGreaterThan(0);
        expect(derived.state(scope)?.revision).toBe(revision + 1);
        await snapshots.close();
        derived.close();
      });
      expect((await reindex()).mended).toEqual([]);
    }));
});

describe("condarium reindex", () => {
  async function condarium(...args: string[]): Promise<{ code: number; out: string[]; err: string[] }> {
    const ran = { out: [] as string[], err: [] as string[] };
    const output = {
      line: (text: string) => void ran.out.push(text),
      note: (text: string) => void ran.err.push(text),
      rows: () => {},
    };
    return { code: await runHere([...args, "--data", channel.server.folder], output), ...ran };
  }

  test("reports its findings, and its exit code says whether it repaired something", () =>
    withCopy(async () => {
      const clean = await condarium("reindex");
      expect([clean.code, clean.err]).toEqual([0, ["17 documents, all unchanged."]]);
      expect(clean.out).toContain("user/main noarch/repodata.json.zst: unchanged");
      runSql(channel.server, "index.db", `UPDATE segment_data SET blocks = x'00' WHERE id = ${ONE_SEGMENT}`);
      const found = await condarium("verify", "--deep", "--json");
      expect([found.code, found.out.length]).toEqual([1, 3]);
      const mended = await condarium("reindex", "user/main", "--json");
      expect([mended.code, mended.err]).toEqual([1, ["17 documents, 3 repaired."]]);
      expect(mended.out.map((line): unknown => JSON.parse(line))).toContainEqual({
        channel: "user/main",
        section: "noarch",
        document: "repodata.json",
        result: "mended",
        detail: "it differed in 1 segment(s)",
      });
      const sane = await condarium("verify", "--deep");
      expect([sane.code, sane.out]).toEqual([0, []]);
      const unknown = await condarium("reindex", "user/none");
      expect([unknown.code, unknown.err]).toEqual([1, ["condarium: There is no channel user/none."]]);
      expect((await condarium("reindex", "user")).code).toBe(2);
    }));
});
