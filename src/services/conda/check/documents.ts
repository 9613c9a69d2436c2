// Reads whole documents back and compares them with the rows of one moment, a page of rows at a time.

import { decompress } from "fzstd";
import { pagesOfSection, yankedFiles, type IndexedFile } from "../../../models/package-file.ts";
import { isJsonObject, type JsonObject } from "../../../modules/conda/strict-json.ts";
import { sha256Hex } from "../../../modules/hash.ts";
import { readMembers } from "../../../modules/json-stream.ts";
import { decodeMsgpack } from "../../../modules/msgpack-reader.ts";
import type { Complain, DocumentToCheck, SectionRows } from "../../index/format.ts";
import { checkEntry, ENTRY_MAPS, fileNameOf, mapOf, type EntryMap } from "./entries.ts";
import { createRollCall, type RollCall } from "./merge-join.ts";

const PAGE = 500;

/** What other documents hold is checked by what they are made of. */
export async function checkDocument(rows: SectionRows, document: DocumentToCheck, complain: Complain): Promise<void> {
  if (document.name === "repodata_shards.msgpack.zst")
    await checkShards(rows, Buffer.concat([...document.bytes()]), document.readShard, complain);
  if (document.name === "repodata.json") await checkRepodata(rows, document.bytes(), complain);
}

/** `repodata.json` lists the active files and no other, and under `removed` the yanked ones. */
export async function checkRepodata(rows: SectionRows, text: Iterable<Uint8Array>, complain: Complain): Promise<void> {
  const rolls = new Map<string, RollCall>(ENTRY_MAPS.map((map) => [map, rollOf(rows, map, complain)]));
  const others = new Map<string, unknown>();
  for (const { path, value } of readMembers(text, (at) => at.join("/") === "v3" || rolls.has(at.join("/")))) {
    const roll = rolls.get(path.slice(0, -1).join("/"));
    if (roll) await roll.meet(path.at(-1) ?? "", value);
    else others.set(path.join("/"), value);
  }
  for (const roll of rolls.values()) await roll.end();
  checkInfo(rows, others.get("info"), complain);
  checkRemoved(await yankedFiles(rows.reader, rows.channelId, rows.section), others.get("removed"), complain);
}

/** The catalogue names a shard for every name, and each shard holds the files of its name and no other. */
export async function checkShards(
  rows: SectionRows,
  catalogue: Uint8Array,
  readShard: (hash: string) => Uint8Array | undefined,
  complain: Complain,
): Promise<void> {
  const document = decodeMsgpack(decompress(catalogue));
  if (!isJsonObject(document) || !isJsonObject(document.shards)) return complain("I-6", "it names no shards");
  checkInfo(rows, document.info, complain);
  const named = new Map(Object.entries(document.shards));
  for await (const { name, files } of namesOf(rows)) {
    const hash = named.get(name);
    named.delete(name);
    if (hash === undefined) complain("I-6", `${name} is left out`);
    else if (!(hash instanceof Uint8Array)) complain("I-6", `the hash of ${name} is not bytes`);
    else {
      const about: Complain = (invariant, message) => complain(invariant, `the shard of ${name}: ${message}`);
      checkShard(Buffer.from(hash).toString("hex"), { files, readShard, complain: about });
    }
  }
  for (const name of named.keys()) complain("I-6", `${name} is named, and has no file`);
}

type ShardCheck = {
  readonly files: readonly IndexedFile[];
  readonly readShard: (hash: string) => Uint8Array | undefined;
  readonly complain: Complain;
};

function checkShard(hash: string, { files, readShard, complain }: ShardCheck): void {
  const bytes = readShard(hash);
  if (!bytes) return complain("I-6", `there is no ${hash}`);
  if (sha256Hex(bytes) !== hash) return complain("I-7", `its bytes do not have the hash ${hash}`);
  const shard = decodeMsgpack(decompress(bytes));
  if (!isJsonObject(shard)) return complain("I-6", "it is no map");
  const expected = Map.groupBy(files, (file) => (file.state === "active" ? mapOf(file) : undefined));
  for (const map of ENTRY_MAPS) {
    const listed = Object.entries(mapIn(shard, map)).map(([key, entry]) => [fileNameOf(map, key), entry] as const);
    const entries = new Map(listed);
    for (const file of expected.get(map) ?? []) {
      if (entries.has(file.fileName)) checkEntry(entries.get(file.fileName), file, "shard", complain);
      else complain("I-6", `${file.fileName} is left out`);
      entries.delete(file.fileName);
    }
    for (const fileName of entries.keys()) complain("I-6", `${fileName} is listed, and is no active file`);
  }
  checkRemoved(yankedOf(files), shard.removed, complain);
}

function mapIn(shard: JsonObject, map: EntryMap): JsonObject {
  const found = map.split("/").reduce<unknown>((value, key) => (isJsonObject(value) ? value[key] : undefined), shard);
  return isJsonObject(found) ? found : {};
}

function checkInfo({ section }: SectionRows, info: unknown, complain: Complain): void {
  if (!isJsonObject(info) || info.subdir !== section) complain("I-6", `it does not say that its subdir is ${section}`);
}

function checkRemoved(yanked: readonly string[], removed: unknown, complain: Complain): void {
  const [expected, found] = [new Set<unknown>(yanked), new Set<unknown>(Array.isArray(removed) ? removed : [])];
  if (!Array.isArray(removed)) complain("I-6", "it has no list of removed files");
  for (const name of expected.difference(found)) complain("I-6", `${String(name)} is yanked, and not in the list`);
  for (const name of found.difference(expected)) complain("I-6", `${String(name)} is listed as yanked, and is not`);
}

function yankedOf(files: readonly IndexedFile[]): string[] {
  return files.filter(({ state }) => state === "yanked").map(({ fileName }) => fileName);
}

function rollOf(rows: SectionRows, map: EntryMap, complain: Complain): RollCall {
  const check = (entry: unknown, file: IndexedFile): void => checkEntry(entry, file, "json", complain);
  return createRollCall({ map, expected: filesIn(rows, map), check, complain });
}

/** The active files of one map, in the order of documents. */
async function* filesIn(rows: SectionRows, map: EntryMap): AsyncGenerator<IndexedFile, void, undefined> {
  for await (const file of filesOf(rows, map.endsWith("conda") ? ".conda" : ".tar.bz2")) {
    if (file.state === "active" && mapOf(file) === map) yield file;
  }
}

type FilesOfName = { readonly name: string; readonly files: readonly IndexedFile[] };

/** The names of which a catalogue has something to say, each with all of its files. */
async function* namesOf(rows: SectionRows): AsyncGenerator<FilesOfName, void, undefined> {
  let files: IndexedFile[] = [];
  for await (const file of filesOf(rows)) {
    if (files[0] && files[0].packageName !== file.packageName) {
      if (files.some(isSaid)) yield { name: files[0].packageName, files };
      files = [];
    }
    files.push(file);
  }
  if (files[0] && files.some(isSaid)) yield { name: files[0].packageName, files };
}

function isSaid(file: IndexedFile): boolean {
  return file.state === "yanked" || (file.state === "active" && mapOf(file) !== undefined);
}

async function* filesOf(
  { reader, channelId, section }: SectionRows,
  ending?: string,
): AsyncGenerator<IndexedFile, void, undefined> {
  for await (const { files } of pagesOfSection(reader, { channelId, section, ending, limit: PAGE })) yield* files;
}
