// Reads complete documents back and compares them with a consistent snapshot of the records, page by page.

import { decompress } from "fzstd";
import type { FileKey, IndexedFile } from "../../../models/indexed-file.ts";
import { compareText } from "../../../modules/conda/file-name.ts";
import { isJsonObject, type JsonObject } from "../../../modules/conda/strict-json.ts";
import { sha256Hex } from "../../../modules/hash.ts";
import { readMembers } from "../../../modules/json-stream.ts";
import { decodeMsgpack } from "../../../modules/msgpack-reader.ts";
import type { ReportProblem, DocumentToCheck, SectionRows } from "../../index/format.ts";
import type { RecordPage } from "../../index/records.ts";
import { checkEntry, ENTRY_MAPS, fileNameOf, mapOf, type EntryMap } from "./entries.ts";
import { createMergeJoin, type MergeJoin } from "./merge-join.ts";

const PAGE = 500;

/** Other documents are checked through the derived data they are built from. */
export async function checkDocument(
  rows: SectionRows,
  document: DocumentToCheck,
  complain: ReportProblem,
): Promise<void> {
  if (document.name === "repodata_shards.msgpack.zst")
    await checkShards(rows, Buffer.concat([...document.bytes()]), document.readShard, complain);
  if (document.name === "repodata.json") await checkRepodata(rows, document.bytes(), complain);
}

/** `repodata.json` lists exactly the active files, and exactly the yanked files under `removed`. */
export async function checkRepodata(
  rows: SectionRows,
  text: Iterable<Uint8Array>,
  complain: ReportProblem,
): Promise<void> {
  const joins = new Map<string, MergeJoin>(ENTRY_MAPS.map((map) => [map, joinOf(rows, map, complain)]));
  const others = new Map<string, unknown>();
  for (const { path, value } of readMembers(text, (at) => at.join("/") === "v3" || joins.has(at.join("/")))) {
    const join = joins.get(path.slice(0, -1).join("/"));
    if (join) await join.add(path.at(-1) ?? "", value);
    else others.set(path.join("/"), value);
  }
  for (const join of joins.values()) await join.end();
  checkInfo(rows, others.get("info"), complain);
  checkRemoved(await rows.records.yanked(rows), others.get("removed"), complain);
}

/** The shard index lists a shard for every name, and each shard lists exactly the files of its name. */
export async function checkShards(
  rows: SectionRows,
  shardIndex: Uint8Array,
  readShard: (hash: string) => Uint8Array | undefined,
  complain: ReportProblem,
): Promise<void> {
  const document = decodeMsgpack(decompress(shardIndex));
  if (!isJsonObject(document) || !isJsonObject(document.shards)) return complain("I-6", "it has no map of shards");
  checkInfo(rows, document.info, complain);
  const named = new Map(Object.entries(document.shards));
  for await (const { name, ...held } of namesOf(rows)) {
    const hash = named.get(name);
    named.delete(name);
    if (hash === undefined) complain("I-6", `${name} is missing`);
    else if (!(hash instanceof Uint8Array)) complain("I-6", `the hash of ${name} is not bytes`);
    else {
      const about: ReportProblem = (invariant, message) => complain(invariant, `the shard of ${name}: ${message}`);
      checkShard(Buffer.from(hash).toString("hex"), { ...held, readShard, complain: about });
    }
  }
  for (const name of named.keys()) complain("I-6", `${name} is listed but has no file`);
}

type ShardCheck = Omit<NameRecords, "name"> & {
  readonly readShard: (hash: string) => Uint8Array | undefined;
  readonly complain: ReportProblem;
};

function checkShard(hash: string, { listed, yanked, readShard, complain }: ShardCheck): void {
  const bytes = readShard(hash);
  if (!bytes) return complain("I-6", `blob ${hash} is missing`);
  if (sha256Hex(bytes) !== hash) return complain("I-7", `its bytes do not match the hash ${hash}`);
  const shard = decodeMsgpack(decompress(bytes));
  if (!isJsonObject(shard)) return complain("I-6", "it is not a map");
  const expected = Map.groupBy(listed, mapOf);
  for (const map of ENTRY_MAPS) {
    const entries = new Map(Object.entries(mapIn(shard, map)).map(([key, entry]) => [fileNameOf(map, key), entry]));
    for (const file of expected.get(map) ?? []) {
      if (entries.has(file.fileName)) checkEntry(entries.get(file.fileName), file, "shard", complain);
      else complain("I-6", `${file.fileName} is missing`);
      entries.delete(file.fileName);
    }
    for (const fileName of entries.keys()) complain("I-6", `${fileName} is listed but is not an active file`);
  }
  checkRemoved(yanked, shard.removed, complain);
}

function mapIn(shard: JsonObject, map: EntryMap): JsonObject {
  const found = map.split("/").reduce<unknown>((value, key) => (isJsonObject(value) ? value[key] : undefined), shard);
  return isJsonObject(found) ? found : {};
}

function checkInfo({ section }: SectionRows, info: unknown, complain: ReportProblem): void {
  if (!isJsonObject(info) || info.subdir !== section) complain("I-6", `info.subdir is not ${section}`);
}

function checkRemoved(yanked: readonly string[], removed: unknown, complain: ReportProblem): void {
  const [expected, found] = [new Set<unknown>(yanked), new Set<unknown>(Array.isArray(removed) ? removed : [])];
  if (!Array.isArray(removed)) complain("I-6", "removed is not a list");
  for (const name of expected.difference(found)) complain("I-6", `${String(name)} is yanked but not in removed`);
  for (const name of found.difference(expected)) complain("I-6", `${String(name)} is in removed but not yanked`);
}

function joinOf(rows: SectionRows, map: EntryMap, complain: ReportProblem): MergeJoin {
  const check = (entry: unknown, file: IndexedFile): void => checkEntry(entry, file, "json", complain);
  return createMergeJoin({ map, expected: filesIn(rows, map), check, complain });
}

/** The files that one map must list, in the order of documents. */
async function* filesIn(rows: SectionRows, map: EntryMap): AsyncGenerator<IndexedFile, void, undefined> {
  const ending = map.endsWith("conda") ? ".conda" : ".tar.bz2";
  for await (const { listed } of rows.records.ofSection(rows, { ending, limit: PAGE }))
    yield* listed.filter((file) => mapOf(file) === map);
}

type NameRecords = {
  readonly name: string;
  readonly listed: readonly IndexedFile[];
  readonly yanked: readonly string[];
};

/** The names that the shard index must list, each with all of its records. */
async function* namesOf(rows: SectionRows): AsyncGenerator<NameRecords, void, undefined> {
  let held: NameRecords | undefined;
  for await (const page of rows.records.ofSection(rows, { limit: PAGE })) {
    for (const next of namesIn(page)) {
      if (held && held.name !== next.name) yield held;
      held = held?.name === next.name ? joined(held, next) : next;
    }
  }
  if (held) yield held;
}

/** The names of a page, in their order. */
function namesIn({ listed, yanked }: RecordPage): NameRecords[] {
  const [active, removed] = [Map.groupBy(listed, nameOf), Map.groupBy(yanked, nameOf)];
  return [...new Set([...active.keys(), ...removed.keys()])].sort(compareText).map((name) => ({
    name,
    listed: active.get(name) ?? [],
    yanked: (removed.get(name) ?? []).map(({ fileName }) => fileName),
  }));
}

function nameOf({ packageName }: FileKey): string {
  return packageName;
}

function joined(some: NameRecords, more: NameRecords): NameRecords {
  return { ...some, listed: [...some.listed, ...more.listed], yanked: [...some.yanked, ...more.yanked] };
}
