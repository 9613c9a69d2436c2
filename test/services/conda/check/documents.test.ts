// The check of documents finds the errors of a document that another program built.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { decode, encode } from "@msgpack/msgpack";
import { decompress } from "fzstd";
import { openSnapshots } from "../../../../src/models/open-database.ts";
import { condaIndex } from "../../../../src/services/conda/index-format.ts";
import { PLAIN_VIEW } from "../../../../src/services/index/documents.ts";
import { createRecords } from "../../../../src/services/index/records.ts";
import { checkRepodata, checkShards } from "../../../../src/services/conda/check/documents.ts";
import { bytesOf } from "../../../support/answers.ts";
import { startTestApp, type TestApp } from "../../../support/app.ts";
import { fillChannel, QUARANTINED, shardFile, YANKED } from "../../../support/indexed-channel.ts";
import { zstd } from "../../../support/package-builder.ts";
import { sourceOf } from "../../../support/rows.ts";

type Entries = Record<string, Record<string, unknown>>;
type Document = {
  info: Record<string, unknown>;
  packages: Entries;
  "packages.conda": Entries;
  removed: unknown;
  v3: { conda: Entries };
};
type ShardIndex = { info: Record<string, unknown>; shards: Record<string, unknown> };

let server: TestApp;
let snapshots: ReturnType<typeof openSnapshots>;
let repodata: string;
let shardIndex: Uint8Array;
let shardFolder: string;

beforeAll(async () => {
  server = await startTestApp();
  const user = await server.addUser("user");
  await fillChannel(server, user);
  repodata = await (await user.get("/user/main/noarch/repodata.json")).text();
  shardIndex = decompress(await bytesOf(await user.get("/user/main/noarch/repodata_shards.msgpack.zst")));
  shardFolder = dirname(await shardFile(server, user, "extra"));
  snapshots = openSnapshots(sourceOf(server.folder));
});
afterAll(async () => {
  await snapshots.close();
  await server.close();
});

/** An entry of a name, so that a change has something to modify. */
function entryOf(entries: Entries, fileName: string): Record<string, unknown> {
  const entry = entries[fileName];
  if (!entry) throw new Error(`${fileName} is not there`);
  return entry;
}

const FIRST = "pkg-1-1.1-0.conda";
const EXPORTING = "pkg-3-1.3-0.conda";

describe("the check of a repodata.json", () => {
  const complaintsOf = (text: string): Promise<string[]> =>
    snapshots.snapshot(async (reader) => {
      const complaints: string[] = [];
      const records = createRecords(reader, condaIndex.requireReadable);
      const rows = { records, channelId: Number(basename(shardFolder)), view: PLAIN_VIEW, section: "noarch" };
      await checkRepodata(rows, [Buffer.from(text)], (invariant, message) =>
        complaints.push(`${invariant} ${message}`),
      );
      return complaints;
    });

  test("accepts the one that the server built", async () => {
    expect(await complaintsOf(repodata)).toEqual([]);
  });

  const CHANGES: Readonly<Record<string, readonly [(document: Document) => void, string]>> = {
    "without an entry": [({ "packages.conda": map }) => delete map[FIRST], `I-6 ${FIRST} is missing`],
    "without its last entry": [({ v3 }) => delete v3.conda["later-1-0"], "I-6 later-1-0.conda is missing"],
    "without an old entry": [
      ({ packages }) => delete packages["pkg-0-1.0-0.tar.bz2"],
      "I-6 pkg-0-1.0-0.tar.bz2 is miss",
    ],
    "with an entry of no file": [
      ({ v3, "packages.conda": map }) => (v3.conda["z-1-0"] = entryOf(map, FIRST)),
      "I-6 z-1-0.conda is listed but is not an active file",
    ],
    "with another dependency": [
      ({ "packages.conda": map }) => (entryOf(map, FIRST).depends = []),
      `I-6 the entry of ${FIRST} differs from its record`,
    ],
    "with another time": [
      ({ "packages.conda": map }) => (entryOf(map, FIRST).indexed_timestamp = 1),
      `I-6 the entry of ${FIRST} differs from its record`,
    ],
    "with an extra key": [
      ({ "packages.conda": map }) => (entryOf(map, FIRST).fn = FIRST),
      `I-6 the entry of ${FIRST} differs from its record`,
    ],
    "with the run exports of a package": [
      ({ "packages.conda": map }) => (entryOf(map, EXPORTING).run_exports = { weak: ["lib >=1"] }),
      `I-6 the entry of ${EXPORTING} differs from its record`,
    ],
    "with another md5": [
      ({ "packages.conda": map }) => (entryOf(map, FIRST).md5 = "0".repeat(32)),
      `I-7 the entry of ${FIRST} has a different md5 than its blob`,
    ],
    "with another sha256": [
      ({ "packages.conda": map }) => (entryOf(map, FIRST).sha256 = "0".repeat(64)),
      `I-7 the entry of ${FIRST} has a different sha256 than its blob`,
    ],
    "with another size": [
      ({ "packages.conda": map }) => (entryOf(map, FIRST).size = "12"),
      `I-7 the entry of ${FIRST} has a different size than its blob`,
    ],
    "with an entry that is no object": [
      ({ "packages.conda": map }) => (map[FIRST] = [] as never),
      `I-6 the entry of ${FIRST} is not an`,
    ],
    "of another subdir": [({ info }) => (info.subdir = "linux-64"), "I-6 info.subdir is not noarch"],
    "that omits a yanked file": [(document) => (document.removed = []), `I-6 ${YANKED} is yanked but not in removed`],
    "that lists a quarantined file": [
      (document) => (document.removed = [YANKED, QUARANTINED]),
      `I-6 ${QUARANTINED} is in removed but not yanked`,
    ],
    "whose list of yanked files is a map": [(document) => (document.removed = {}), "I-6 removed is not a list"],
  };
  test.each(Object.keys(CHANGES))("refuses one %s", async (name) => {
    const [change, complaint] = CHANGES[name] ?? [() => undefined, ""];
    const document = JSON.parse(repodata) as Document;
    change(document);
    expect((await complaintsOf(JSON.stringify(document)))[0]).toStartWith(complaint);
  });

  test("refuses one that lists a yanked or a quarantined file, or one file twice", async () => {
    for (const fileName of [YANKED, QUARANTINED]) {
      const broken = repodata.replace('"extra-3-0.conda":{', `"${fileName}":{},"extra-3-0.conda":{`);
      expect(await complaintsOf(broken)).toEqual([`I-6 ${fileName} is listed but is not an active file`]);
    }
    const twice = repodata.replace('"extra-3-0.conda":{', '"extra-3-0.conda":{},"extra-3-0.conda":{');
    expect(await complaintsOf(twice)).toContain("I-6 extra-3-0.conda is listed but is not an active file");
  });

  test("fails on a truncated one", async () => {
    const reading = complaintsOf(repodata.slice(0, -1)).catch((error: unknown) => error);
    expect(await reading).toBeInstanceOf(SyntaxError);
  });
});

describe("the check of a shard index", () => {
  const complaintsOf = (bytes: Uint8Array, shards: ReadonlyMap<string, Uint8Array> = new Map()): Promise<string[]> =>
    snapshots.snapshot(async (reader) => {
      const complaints: string[] = [];
      const records = createRecords(reader, condaIndex.requireReadable);
      const rows = { records, channelId: Number(basename(shardFolder)), view: PLAIN_VIEW, section: "noarch" };
      const readShard = (hash: string): Uint8Array | undefined => {
        const path = join(shardFolder, hash);
        return shards.get(hash) ?? (existsSync(path) ? new Uint8Array(readFileSync(path)) : undefined);
      };
      await checkShards(rows, zstd(bytes), readShard, (invariant, message) =>
        complaints.push(`${invariant} ${message}`),
      );
      return complaints;
    });
  const shardIndexWith = (change: (document: ShardIndex) => void): Uint8Array => {
    const document = decode(shardIndex) as ShardIndex;
    change(document);
    return encode(document);
  };

  test("accepts the one that the server built", async () => {
    expect(await complaintsOf(shardIndex)).toEqual([]);
  });

  const CHANGES: Readonly<Record<string, readonly [(document: ShardIndex) => void, string]>> = {
    "without a name": [({ shards }) => delete shards.extra, "I-6 extra is missing"],
    "with a name of no file": [({ shards }) => (shards.ghost = shards.extra), "I-6 ghost is listed but has no file"],
    "with a hash as text": [({ shards }) => (shards.extra = "00"), "I-6 the hash of extra is not bytes"],
    "with the hash of no shard": [
      ({ shards }) => (shards.extra = new Uint8Array(32)),
      `I-6 the shard of extra: blob ${"00".repeat(32)} is missing`,
    ],
    "with the shard of another name": [
      ({ shards }) => (shards.extra = shards["pkg-1"]),
      "I-6 the shard of extra: extra-3-0.conda is missing",
    ],
    "of another subdir": [({ info }) => (info.subdir = "win-64"), "I-6 info.subdir is not noarch"],
  };
  test.each(Object.keys(CHANGES))("refuses one %s", async (name) => {
    const [change, complaint] = CHANGES[name] ?? [() => undefined, ""];
    const complaints = await complaintsOf(shardIndexWith(change));
    expect(complaints).toContainEqual(expect.stringContaining(complaint));
  });

  const SHARD_CHANGES: Readonly<Record<string, readonly [(shard: Document) => void, string]>> = {
    "lacks an entry": [({ "packages.conda": map }) => delete map[FIRST], `I-6 the shard of pkg-1: ${FIRST} is missing`],
    "has an entry of no file": [
      ({ packages, "packages.conda": map }) => (packages["z-1-0.tar.bz2"] = entryOf(map, FIRST)),
      "I-6 the shard of pkg-1: z-1-0.tar.bz2 is listed but is not an active file",
    ],
    "has a hash as text": [
      ({ "packages.conda": map }) => (entryOf(map, FIRST).md5 = "0".repeat(32)),
      `I-7 the shard of pkg-1: the entry of ${FIRST} has a different md5`,
    ],
    "has no run exports": [
      ({ "packages.conda": map }) => delete entryOf(map, FIRST).run_exports,
      `I-6 the shard of pkg-1: the entry of ${FIRST} differs from its record`,
    ],
    "lists a yanked file": [
      (shard) => (shard.removed = ["a-1-0.conda"]),
      "I-6 the shard of pkg-1: a-1-0.conda is in removed but not yanked",
    ],
  };
  test.each(Object.keys(SHARD_CHANGES))("refuses one whose shard %s", async (name) => {
    const [change, complaint] = SHARD_CHANGES[name] ?? [() => undefined, ""];
    const hash = Buffer.from((decode(shardIndex) as { shards: Record<string, Uint8Array> }).shards["pkg-1"] ?? "");
    const shard = decode(decompress(readFileSync(join(shardFolder, hash.toString("hex"))))) as Document;
    change(shard);
    const bytes = zstd(encode(shard));
    const digest = new Bun.CryptoHasher("sha256").update(bytes).digest();
    const changed = shardIndexWith(({ shards }) => (shards["pkg-1"] = new Uint8Array(digest)));
    const complaints = await complaintsOf(changed, new Map([[digest.toString("hex"), bytes]]));
    expect(complaints).toContainEqual(expect.stringContaining(complaint));
    // Bytes under a name that is not their hash are wrong whatever they contain.
    const wrong = await complaintsOf(shardIndex, new Map([[hash.toString("hex"), bytes]]));
    expect(wrong).toEqual([expect.stringContaining("I-7 the shard of pkg-1: its bytes do not match the hash")]);
  });
});
