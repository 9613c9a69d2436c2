// The deep check reports nothing about an intact channel, and finds each kind of damage.

import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { encode } from "@msgpack/msgpack";
import type { VerifyLevel } from "../../../../src/services/storage/verify.ts";
import { bytesOf } from "../../../support/answers.ts";
import { filesIn, repodataOf, shardOf } from "../../../support/documents.ts";
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
import { zstd } from "../../../support/package-builder.ts";
import { problemsOf } from "../../../support/problems.ts";

const channel = copiedChannel();
const { withCopy } = channel;

async function findingsOf(level: VerifyLevel = "deep"): Promise<string[]> {
  const problems = await problemsOf(channel.server, level);
  expect(readdirSync(join(channel.server.folder, "tmp"))).toEqual([]);
  return problems.map(({ invariant, subject, message }) => `${invariant} ${subject}: ${message}`);
}

describe("verify of an intact channel", () => {
  test("gives no finding, before and after reads, and writes nothing", () =>
    withCopy(async () => {
      const before = rowsOf(channel.server, "index.db", "SELECT * FROM state ORDER BY 1, 2, 3");
      expect(await findingsOf()).toEqual([]);
      expect(rowsOf(channel.server, "index.db", "SELECT * FROM state ORDER BY 1, 2, 3")).toEqual(before);
      // A change after the documents were read is no damage.
      const user = channel.server.as("user");
      await publish(user, { name: "new", version: "1" });
      await user.delete("/user/main/noarch/extra-3-0.conda");
      expect(await findingsOf()).toEqual([]);
      await channel.restart(() => deleteIndexDatabase(channel.server.folder));
      expect(await findingsOf()).toEqual([]);
      expect(existsSync(join(channel.server.folder, "index.db"))).toBe(false);
    }));

  test("ignores derived data of another release, and leaves it unchanged", () =>
    withCopy(async () => {
      runSql(
        channel.server,
        "index.db",
        "UPDATE codec SET id = 'another'",
        `DELETE FROM segment WHERE id = ${ONE_SEGMENT}`,
      );
      expect(await findingsOf("quick")).toEqual([]);
      expect(await findingsOf()).toEqual([]);
      const { mended } = await channel.server.app.reindex({
        onDocument: ({ result }) => expect(result).toBe("unread"),
      });
      expect(mended).toBe(0);
      expect(rowsOf(channel.server, "index.db", "SELECT id FROM codec")).toEqual([{ id: "another" }]);
    }));
});

type Damage = {
  readonly damage: () => void | Promise<void>;
  /** The beginning of each finding, for all findings. */
  readonly findings: readonly string[];
};

const REPODATA = ["", ".zst", ".bz2"].map((form) => `I-6 user/main noarch/repodata.json${form}: its stored data`);
const RUN_EXPORTS = ["", ".zst"].map((form) => `I-6 user/main noarch/run_exports.json${form}: its stored data`);
const CURRENT = ["", ".zst"].map((form) => `I-6 user/main noarch/current_repodata.json${form}: its stored data`);
const SHARDS = "I-6 user/main noarch/repodata_shards.msgpack.zst: its stored data";
const CHANNELDATA = "I-6 user/main channeldata.json: its stored data";

const DAMAGES: Readonly<Record<string, Damage>> = {
  "changed blocks of a segment": {
    damage: () =>
      runSql(channel.server, "index.db", `UPDATE segment_data SET blocks = x'00' || blocks WHERE id = ${ONE_SEGMENT}`),
    findings: REPODATA,
  },
  "a missing segment": {
    damage: () => runSql(channel.server, "index.db", `DELETE FROM segment WHERE id = ${ONE_SEGMENT}`),
    findings: REPODATA,
  },
  "changed bzip2 blocks": {
    damage: () =>
      runSql(channel.server, "index.db", `UPDATE segment_data SET bzip2 = x'00' || bzip2 WHERE id = ${ONE_SEGMENT}`),
    findings: REPODATA.slice(2),
  },
  "a changed line of channeldata": {
    damage: () =>
      runSql(
        channel.server,
        "index.db",
        "UPDATE entry SET value = value || ' ' WHERE layout = 'channeldata' AND name = 'later'",
      ),
    findings: [CHANNELDATA],
  },
  "a missing entry in a shard": {
    damage: replaceShard,
    findings: [SHARDS],
  },
  "a shard with a flipped byte": {
    damage: async () => {
      const path = await shardFile(channel.server, channel.server.as("user"), "extra");
      const bytes = await Bun.file(path).bytes();
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
      await Bun.write(path, bytes);
    },
    findings: ["I-7 user/main noarch/shards/"],
  },
  "a missing shard": {
    damage: async () => rmSync(await shardFile(channel.server, channel.server.as("user"), "extra")),
    findings: ["I-7 user/main noarch/shards/"],
  },
  "a record changed without a revision": {
    damage: () =>
      runSql(
        channel.server,
        "condarium.db",
        `UPDATE package_file SET record = replace(record, '"depends":[]', '"depends":["evil"]') WHERE file_name = 'later-1-0.conda'`,
      ),
    findings: [...REPODATA, SHARDS],
  },
  "a record whose name differs from its file's": {
    damage: () =>
      runSql(
        channel.server,
        "condarium.db",
        `UPDATE package_file SET record = replace(record, '"name":"native"', '"name":"other"') WHERE file_name = 'native-1-0.conda'`,
      ),
    findings: [
      "I-7 user/main linux-64/repodata.json: the entry of native-1-0.conda describes other-1-0",
      "I-6 user/main linux-64/repodata.json: its stored data",
      "I-6 user/main linux-64/repodata.json.zst: its stored data",
      "I-6 user/main linux-64/repodata.json.bz2: its stored data",
      "I-7 user/main linux-64/repodata_shards.msgpack.zst: the shard of native: the entry of native-1-0.conda describes",
      "I-6 user/main linux-64/repodata_shards.msgpack.zst: its stored data",
      "I-6 user/main linux-64/current_repodata.json: its stored data",
      "I-6 user/main linux-64/current_repodata.json.zst: its stored data",
    ],
  },
  "a file deleted without a revision": {
    damage: () =>
      runSql(channel.server, "condarium.db", "DELETE FROM package_file WHERE file_name = 'extra-3-0.conda'"),
    findings: [...REPODATA, ...RUN_EXPORTS, SHARDS, ...CURRENT, CHANNELDATA],
  },
  "a file yanked without a revision": {
    damage: () =>
      runSql(
        channel.server,
        "condarium.db",
        "UPDATE package_file SET state = 'yanked' WHERE file_name = 'extra-3-0.conda'",
      ),
    findings: [...REPODATA, ...RUN_EXPORTS, SHARDS, ...CURRENT, CHANNELDATA],
  },
  "a document file with a flipped byte": {
    damage: async () => {
      await channel.server.as("user").get("/user/main/noarch/repodata.json");
      const folder = join(channel.server.folder, "derived");
      const [path = ""] = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.length > 64);
      const bytes = await Bun.file(join(folder, path)).bytes();
      bytes[1000] = (bytes[1000] ?? 0) ^ 1;
      await Bun.write(join(folder, path), bytes);
    },
    findings: ["I-6 user/main noarch/repodata.json: its file is damaged"],
  },
  "an invalid file of derived data": {
    damage: async () => {
      const { folder } = channel.server;
      await channel.restart(() => {
        for (const suffix of ["-wal", "-shm"]) rmSync(join(folder, `index.db${suffix}`), { force: true });
      });
      await Bun.write(join(folder, "index.db"), NO_DATABASE);
    },
    findings: ["I-6 index.db: it is damaged"],
  },
  "an unreadable segment that an update needs": {
    damage: async () => {
      runSql(channel.server, "index.db", `UPDATE segment_data SET blocks = x'00' WHERE id = ${ONE_SEGMENT}`);
      await publish(channel.server.as("user"), { name: "pkg-0", version: "2", format: "tar.bz2" });
    },
    findings: REPODATA,
  },
};

describe("the deep check", () => {
  test.each(Object.keys(DAMAGES))("finds %s", (name) =>
    withCopy(async () => {
      const { damage, findings } = DAMAGES[name] ?? { damage: () => {}, findings: [""] };
      await damage();
      const problems = await findingsOf();
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
    const bytes = await bytesOf(await channel.server.as("user").get("/user/main/noarch/repodata.json"));
    return filesIn(repodataOf("repodata.json", bytes));
  };
  const metric = async (): Promise<string> =>
    /^condarium_records_set_aside (\d+)$/m.exec(await channel.server.app.metrics.render())?.[1] ?? "";

  test("are skipped, reported and counted; the channel works, and forgets them when their files are deleted", () =>
    withCopy(async () => {
      const user = channel.server.as("user");
      expect(await listed()).toEqual(expect.arrayContaining(POISON.slice(0, 6).map(([fileName]) => fileName)));
      for (const [fileName, column, text] of POISON) {
        runSql(
          channel.server,
          "condarium.db",
          `UPDATE package_file SET ${column} = '${text}' WHERE file_name = '${fileName}'`,
        );
        const [name = ""] = /^(?:pkg-\d|later)/.exec(fileName) ?? [];
        await publish(user, { name, version: `3.${POISON.findIndex(([other]) => other === fileName)}` });
      }
      await readDocuments(user);
      const files = await listed();
      for (const [fileName] of POISON) expect(files).not.toContain(fileName);
      expect(files).toEqual(expect.arrayContaining(["pkg-1-1.19-0.conda", "pkg-1-3.0-0.conda", "later-3.6-0.conda"]));
      const shard = shardOf(await Bun.file(await shardFile(channel.server, user, "pkg-1")).bytes());
      expect(filesIn(shard)).toEqual(["pkg-1-1.19-0.conda", "pkg-1-3.0-0.conda", "pkg-1-3.1-0.conda"]);
      expect(await metric()).toBe(String(POISON.length));
      expect(channel.server.log()).toContain('"event":"set-aside"');
      for (const level of ["quick", "deep"] as const) {
        const problems = await findingsOf(level);
        const omitted = problems.filter((problem) => problem.startsWith("I-6 "));
        expect(omitted.toSorted()).toEqual(paths.map((path) => expect.stringMatching(new RegExp(`^I-6 .*${path}: `))));
        const unreadable = POISON.filter(([, column]) => column === "metadata").map(([fileName]) => fileName);
        expect(problems.filter((problem) => !omitted.includes(problem)).toSorted()).toEqual(
          unreadable.toSorted().map((fileName) => `I-10 channel 1 noarch/${fileName}: its stored metadata is invalid`),
        );
      }
      for (const path of paths) expect((await user.delete(`/user/main/${path}`)).status).toBe(204);
      await readDocuments(user);
      expect(await metric()).toBe("0");
      for (const level of ["quick", "deep"] as const) expect(await findingsOf(level)).toEqual([]);
    }));

  test("reappear after a repair by hand and a change next to them", () =>
    withCopy(async () => {
      const user = channel.server.as("user");
      const where = "WHERE file_name = 'pkg-1-1.1-0.conda'";
      const [row] = rowsOf(channel.server, "condarium.db", `SELECT record FROM package_file ${where}`);
      runSql(channel.server, "condarium.db", `UPDATE package_file SET record = 'broken' ${where}`);
      await publish(user, { name: "pkg-1", version: "4" });
      await readDocuments(user);
      expect([await metric(), (await listed()).includes("pkg-1-1.1-0.conda")]).toEqual(["1", false]);
      runSql(channel.server, "condarium.db", `UPDATE package_file SET record = '${String(row?.record)}' ${where}`);
      await publish(user, { name: "pkg-1", version: "5" });
      await readDocuments(user);
      expect([await metric(), (await listed()).includes("pkg-1-1.1-0.conda")]).toEqual(["0", true]);
      expect(await findingsOf()).toEqual([]);
    }));
});

/** Stores a shard that lacks an entry, and makes the shard index name it. */
async function replaceShard(): Promise<void> {
  const path = await shardFile(channel.server, channel.server.as("user"), "pkg-1");
  const shard = shardOf(await Bun.file(path).bytes());
  const [first = "", ...others] = Object.entries(shard["packages.conda"]);
  expect([typeof first, others.length > 0]).toEqual(["object", true]);
  const bytes = zstd(encode({ ...shard, "packages.conda": Object.fromEntries(others) }));
  const hash = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  await Bun.write(join(path, "..", hash), bytes);
  const value = `CAST(substr(value, 1, length(value) - 32) || x'${hash}' AS BLOB)`;
  runSql(channel.server, "index.db", `UPDATE entry SET value = ${value} WHERE layout = 'shards' AND name = 'pkg-1'`);
}
