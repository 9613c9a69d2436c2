// The deep check is silent about a sound channel, and finds each kind of damage.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { encode } from "@msgpack/msgpack";
import type { Problem, VerifyLevel } from "../../../../src/services/storage/verify.ts";
import { bytesOf } from "../../../support/answers.ts";
import { startTestApp, type TestApp } from "../../../support/app.ts";
import { filesIn, repodataOf, shardOf } from "../../../support/documents.ts";
import {
  filledFolder,
  publish,
  readDocuments,
  rowsOf,
  runSql,
  shardFile,
  type FilledFolder,
} from "../../../support/indexed-channel.ts";
import { zstd } from "../../../support/package-builder.ts";

let filled: FilledFolder;
let server: TestApp;

/** One channel is filled and read; every test has a copy of its folder. */
beforeAll(async () => {
  filled = await filledFolder();
});
afterAll(() => filled.remove());

async function withCopy(work: () => Promise<void>): Promise<void> {
  const folder = await filled.copy();
  server = await startTestApp({ folder });
  try {
    await work();
  } finally {
    await server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function problemsOf(level: VerifyLevel = "deep"): Promise<string[]> {
  const problems: Problem[] = [];
  await server.app.verify({ level, onProblem: (problem) => void problems.push(problem) });
  expect(readdirSync(join(server.folder, "tmp"))).toEqual([]);
  return problems.map(({ invariant, subject, message }) => `${invariant} ${subject}: ${message}`);
}

describe("a sound channel", () => {
  test("gives no finding, read or unread, and nothing is written", () =>
    withCopy(async () => {
      const before = rowsOf(server, "index.db", "SELECT * FROM state ORDER BY 1, 2, 3");
      expect(await problemsOf()).toEqual([]);
      expect(rowsOf(server, "index.db", "SELECT * FROM state ORDER BY 1, 2, 3")).toEqual(before);
      // What has changed since documents were read is no damage.
      const user = server.as("user");
      await publish(user, { name: "new", version: "1" });
      await user.delete("/user/main/noarch/extra-3-0.conda");
      expect(await problemsOf()).toEqual([]);
      server.app.close();
      for (const suffix of ["", "-wal", "-shm"]) rmSync(join(server.folder, `index.db${suffix}`), { force: true });
      server = await startTestApp({ folder: server.folder });
      expect(await problemsOf()).toEqual([]);
      expect(existsSync(join(server.folder, "index.db"))).toBe(false);
    }));

  test("is not judged by derived data of another release, which is left as it is", () =>
    withCopy(async () => {
      runSql(server, "index.db", "UPDATE codec SET id = 'another'", `DELETE FROM segment WHERE id = ${ONE_SEGMENT}`);
      expect(await problemsOf("quick")).toEqual([]);
      expect(await problemsOf()).toEqual([]);
      const { mended } = await server.app.reindex({ onDocument: ({ result }) => expect(result).toBe("unread") });
      expect(mended).toBe(0);
      expect(rowsOf(server, "index.db", "SELECT id FROM codec")).toEqual([{ id: "another" }]);
    }));
});

type Damage = {
  readonly damage: () => void | Promise<void>;
  /** What the findings begin with, all of them. */
  readonly findings: readonly string[];
};

const REPODATA = ["", ".zst", ".bz2"].map((form) => `I-6 user/main noarch/repodata.json${form}: what is stored`);
const RUN_EXPORTS = ["", ".zst"].map((form) => `I-6 user/main noarch/run_exports.json${form}: what is stored`);
const CURRENT = ["", ".zst"].map((form) => `I-6 user/main noarch/current_repodata.json${form}: what is stored`);
const SHARDS = "I-6 user/main noarch/repodata_shards.msgpack.zst: what is stored";
const CHANNELDATA = "I-6 user/main channeldata.json: what is stored";
const ONE_SEGMENT = "(SELECT min(id) FROM segment WHERE section = 'noarch' AND layout = 'repodata')";

const DAMAGES: Readonly<Record<string, Damage>> = {
  "changed blocks of a segment": {
    damage: () =>
      runSql(server, "index.db", `UPDATE segment_data SET blocks = x'00' || blocks WHERE id = ${ONE_SEGMENT}`),
    findings: REPODATA,
  },
  "a segment that has gone": {
    damage: () => runSql(server, "index.db", `DELETE FROM segment WHERE id = ${ONE_SEGMENT}`),
    findings: REPODATA,
  },
  "a changed piece of bzip2": {
    damage: () =>
      runSql(server, "index.db", `UPDATE segment_data SET bzip2 = x'00' || bzip2 WHERE id = ${ONE_SEGMENT}`),
    findings: REPODATA.slice(2),
  },
  "a changed line of channeldata": {
    damage: () =>
      runSql(
        server,
        "index.db",
        "UPDATE entry SET value = value || ' ' WHERE layout = 'channeldata' AND name = 'later'",
      ),
    findings: [CHANNELDATA],
  },
  "an entry that is missing in a shard": {
    damage: replaceShard,
    findings: [SHARDS],
  },
  "a shard with a flipped byte": {
    damage: async () => {
      const path = await shardFile(server, server.as("user"), "extra");
      const bytes = await Bun.file(path).bytes();
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      await Bun.write(path, bytes);
    },
    findings: ["I-7 user/main noarch/shards/"],
  },
  "a shard that has gone": {
    damage: async () => rmSync(await shardFile(server, server.as("user"), "extra")),
    findings: ["I-7 user/main noarch/shards/"],
  },
  "a record that was changed without a revision": {
    damage: () =>
      runSql(
        server,
        "condarium.db",
        `UPDATE package_file SET record = replace(record, '"depends":[]', '"depends":["evil"]') WHERE file_name = 'later-1-0.conda'`,
      ),
    findings: [...REPODATA, SHARDS],
  },
  "a record that says another name than its file": {
    damage: () =>
      runSql(
        server,
        "condarium.db",
        `UPDATE package_file SET record = replace(record, '"name":"native"', '"name":"other"') WHERE file_name = 'native-1-0.conda'`,
      ),
    findings: [
      "I-7 user/main linux-64/repodata.json: the entry of native-1-0.conda is of other-1-0",
      "I-6 user/main linux-64/repodata.json: what is stored",
      "I-6 user/main linux-64/repodata.json.zst: what is stored",
      "I-6 user/main linux-64/repodata.json.bz2: what is stored",
      "I-7 user/main linux-64/repodata_shards.msgpack.zst: the shard of native: the entry of native-1-0.conda is of",
      "I-6 user/main linux-64/repodata_shards.msgpack.zst: what is stored",
      "I-6 user/main linux-64/current_repodata.json: what is stored",
      "I-6 user/main linux-64/current_repodata.json.zst: what is stored",
    ],
  },
  "a file that was deleted without a revision": {
    damage: () => runSql(server, "condarium.db", "DELETE FROM package_file WHERE file_name = 'extra-3-0.conda'"),
    findings: [...REPODATA, ...RUN_EXPORTS, SHARDS, ...CURRENT, CHANNELDATA],
  },
  "a file that was yanked without a revision": {
    damage: () =>
      runSql(server, "condarium.db", "UPDATE package_file SET state = 'yanked' WHERE file_name = 'extra-3-0.conda'"),
    findings: [...REPODATA, ...RUN_EXPORTS, SHARDS, ...CURRENT, CHANNELDATA],
  },
  "a file of a document with a flipped byte": {
    damage: async () => {
      await server.as("user").get("/user/main/noarch/repodata.json");
      const folder = join(server.folder, "derived");
      const [path = ""] = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.length > 64);
      const bytes = await Bun.file(join(folder, path)).bytes();
      bytes[1000] = (bytes[1000] ?? 0) ^ 1;
      await Bun.write(join(folder, path), bytes);
    },
    findings: ["I-6 user/main noarch/repodata.json: its file is damaged"],
  },
  "a file of derived data that is none": {
    damage: async () => {
      server.app.close();
      for (const suffix of ["-wal", "-shm"]) rmSync(join(server.folder, `index.db${suffix}`), { force: true });
      server = await startTestApp({ folder: server.folder });
      await Bun.write(join(server.folder, "index.db"), "this is no database at all".repeat(1000));
    },
    findings: ["I-6 index.db: it is damaged"],
  },
  "a segment that cannot be read when it has to be followed": {
    damage: async () => {
      runSql(server, "index.db", `UPDATE segment_data SET blocks = x'00' WHERE id = ${ONE_SEGMENT}`);
      await publish(server.as("user"), { name: "pkg-0", version: "2", format: "tar.bz2" });
    },
    findings: REPODATA,
  },
};

describe("the deep check finds", () => {
  test.each(Object.keys(DAMAGES))("%s", (name) =>
    withCopy(async () => {
      const { damage, findings } = DAMAGES[name] ?? { damage: () => {}, findings: [""] };
      await damage();
      const problems = await problemsOf();
      expect(problems.toSorted()).toEqual(findings.toSorted().map((finding) => expect.stringContaining(finding)));
    }),
  );
});

describe("records that no document can hold", () => {
  const POISON: readonly (readonly [string, string, string])[] = [
    ["pkg-1-1.1-0.conda", "record", "no JSON at all"],
    ["pkg-1-1.10-0.conda", "record", "{}"],
    ["pkg-2-1.2-0.conda", "record", "[1]"],
    ["pkg-3-1.12-0.tar.bz2", "record", '"text"'],
    ["pkg-4-1.4-0.tar.bz2", "record", '{"name":"pkg-4"} '],
    ["pkg-5-1.5-0.conda", "metadata", "{}"],
    ["later-1-0.conda", "metadata", "flags"],
  ];
  const paths = POISON.map(([fileName]) => `noarch/${fileName}`).sort();
  const listed = async (): Promise<string[]> => {
    const bytes = await bytesOf(await server.as("user").get("/user/main/noarch/repodata.json"));
    return filesIn(repodataOf("repodata.json", bytes));
  };
  const metric = async (): Promise<string> =>
    /^condarium_records_set_aside (\d+)$/m.exec(await server.app.metrics.render())?.[1] ?? "";

  test("are left out, told of and counted; the channel goes on, and forgets them when their files go", () =>
    withCopy(async () => {
      const user = server.as("user");
      expect(await listed()).toEqual(expect.arrayContaining(POISON.slice(0, 6).map(([fileName]) => fileName)));
      for (const [fileName, column, text] of POISON) {
        runSql(server, "condarium.db", `UPDATE package_file SET ${column} = '${text}' WHERE file_name = '${fileName}'`);
        const [name = ""] = /^(?:pkg-\d|later)/.exec(fileName) ?? [];
        await publish(user, { name, version: `3.${POISON.findIndex(([other]) => other === fileName)}` });
      }
      await readDocuments(user);
      const files = await listed();
      for (const [fileName] of POISON) expect(files).not.toContain(fileName);
      expect(files).toEqual(expect.arrayContaining(["pkg-1-1.19-0.conda", "pkg-1-3.0-0.conda", "later-3.6-0.conda"]));
      const shard = shardOf(await Bun.file(await shardFile(server, user, "pkg-1")).bytes());
      expect(filesIn(shard)).toEqual(["pkg-1-1.19-0.conda", "pkg-1-3.0-0.conda", "pkg-1-3.1-0.conda"]);
      expect(await metric()).toBe(String(POISON.length));
      expect(server.log()).toContain('"event":"set-aside"');
      for (const level of ["quick", "deep"] as const) {
        const problems = await problemsOf(level);
        expect(problems.toSorted()).toEqual(paths.map((path) => expect.stringMatching(new RegExp(`^I-6 .*${path}: `))));
      }
      for (const path of paths) expect((await user.delete(`/user/main/${path}`)).status).toBe(204);
      await readDocuments(user);
      expect(await metric()).toBe("0");
      for (const level of ["quick", "deep"] as const) expect(await problemsOf(level)).toEqual([]);
    }));

  test("come back when they have been mended by hand and something near them changes", () =>
    withCopy(async () => {
      const user = server.as("user");
      const where = "WHERE file_name = 'pkg-1-1.1-0.conda'";
      const [row] = rowsOf(server, "condarium.db", `SELECT record FROM package_file ${where}`);
      runSql(server, "condarium.db", `UPDATE package_file SET record = 'broken' ${where}`);
      await publish(user, { name: "pkg-1", version: "4" });
      await readDocuments(user);
      expect([await metric(), (await listed()).includes("pkg-1-1.1-0.conda")]).toEqual(["1", false]);
      runSql(server, "condarium.db", `UPDATE package_file SET record = '${String(row?.record)}' ${where}`);
      await publish(user, { name: "pkg-1", version: "5" });
      await readDocuments(user);
      expect([await metric(), (await listed()).includes("pkg-1-1.1-0.conda")]).toEqual(["0", true]);
      expect(await problemsOf()).toEqual([]);
    }));
});

/** Puts a shard in place that lacks an entry, and has the catalogue name it. */
async function replaceShard(): Promise<void> {
  const path = await shardFile(server, server.as("user"), "pkg-1");
  const shard = shardOf(await Bun.file(path).bytes());
  const [first = "", ...others] = Object.entries(shard["packages.conda"]);
  expect([typeof first, others.length > 0]).toEqual(["object", true]);
  const bytes = zstd(encode({ ...shard, "packages.conda": Object.fromEntries(others) }));
  const hash = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  await Bun.write(join(path, "..", hash), bytes);
  const value = `CAST(substr(value, 1, length(value) - 32) || x'${hash}' AS BLOB)`;
  runSql(server, "index.db", `UPDATE entry SET value = ${value} WHERE layout = 'shards' AND name = 'pkg-1'`);
}
