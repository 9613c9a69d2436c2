// Reads everything that a server has, and compares it with what its clients know.

import { filesIn, repodataOf, shardHashes, shardIndexOf, shardOf, type Records, type Repodata } from "../documents.ts";
import type { Item, Ledger } from "./ledger.ts";

export const DOCUMENTS = ["repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst"] as const;
type Document = (typeof DOCUMENTS)[number];
type Get = (name: string) => Promise<Uint8Array | undefined>;

/** The sha256 of each listed file; undefined when `get` has no document, or lacks one of its shards. */
export async function filesOfDocument(name: Document, get: Get): Promise<Map<string, string> | undefined> {
  const bytes = await get(name);
  if (!bytes) return undefined;
  if (name !== "repodata_shards.msgpack.zst") return hashesOf(repodataOf(name, bytes));
  const files = new Map<string, string>();
  for (const hash of Object.values(shardHashes(shardIndexOf(bytes)))) {
    const shard = await get(`shards/${hash}.msgpack.zst`);
    if (!shard) return undefined;
    for (const [file, sha256] of hashesOf(shardOf(shard))) files.set(file, sha256);
  }
  return files;
}

function hashesOf(records: Pick<Repodata, "packages" | "packages.conda">): Map<string, string> {
  const all: Records = { ...records.packages, ...records["packages.conda"] };
  const text = (value: unknown): string =>
    value instanceof Uint8Array ? Buffer.from(value).toString("hex") : String(value);
  return new Map(filesIn(records).map((file) => [file, text(all[file]?.["sha256"])]));
}

/** Compares the documents with each other, with the downloads and with the ledger, which learns what was unknown. */
export async function readBack(url: string, owner: string, ledger: Ledger): Promise<void> {
  for (const channel of new Set(ledger.items.map((item) => item.channel))) {
    const base = `${url}/${owner}/${channel}/noarch/`;
    const get: Get = async (name) => {
      const answer = await fetch(base + name);
      const bytes = await answer.bytes();
      return answer.status === 200 ? bytes : undefined;
    };
    const [json, ...others] = await Promise.all(DOCUMENTS.map((name) => filesOfDocument(name, get)));
    for (const [at, other] of others.entries()) {
      if (!Bun.deepEquals(other, json)) ledger.problems.push(`${base}${DOCUMENTS[at + 1]} differs from repodata.json`);
    }
    const items = ledger.items.filter((item) => item.channel === channel);
    for (const item of items) await compare(item, json ?? new Map(), get, ledger);
    const strangers = [...(json ?? []).keys()].filter((file) => !items.some(({ built }) => built.fileName === file));
    if (strangers.length > 0) ledger.problems.push(`${base} lists ${strangers.join(", ")}, which nobody published`);
  }
}

async function compare(item: Item, listed: ReadonlyMap<string, string>, get: Get, ledger: Ledger): Promise<void> {
  const { fileName, bytes, sha256 } = item.built;
  const file = await get(fileName);
  const hash = listed.get(fileName);
  ledger.learn(item, hash === undefined ? "absent" : "present", "the documents");
  if (hash === undefined && file)
    ledger.problems.push(`${item.channel}/${fileName} is not listed, and can be downloaded`);
  if (hash === undefined) return;
  if (hash !== sha256) ledger.problems.push(`${item.channel}/${fileName} is listed with the sha256 ${hash}`);
  if (!file || Buffer.compare(file, bytes) !== 0)
    ledger.problems.push(`${item.channel}/${fileName} is listed, and its download is not what was published`);
}

/** Status and ETag of each document. */
export async function etagsOf(url: string, owner: string, ledger: Ledger): Promise<Record<string, string>> {
  const etags: Record<string, string> = {};
  for (const channel of ledger.channels) {
    for (const name of DOCUMENTS) {
      const answer = await fetch(`${url}/${owner}/${channel}/noarch/${name}`);
      await answer.bytes();
      etags[`${channel}/${name}`] = `${answer.status} ${answer.headers.get("etag")}`;
    }
  }
  return etags;
}
