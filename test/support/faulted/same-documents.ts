// Reads every document of a channel from several servers: they must be the same, to the byte.

import { documentPaths, shardHashes, shardIndexOf } from "../documents.ts";

const SHARD_INDEX = "noarch/repodata_shards.msgpack.zst";

/** What differs between the servers at the base URLs, one sentence each; also a shard that one of them lacks. */
export async function differences(bases: readonly string[]): Promise<string[]> {
  const problems: string[] = [];
  const paths = documentPaths("noarch");
  const index = await fetch(`${bases[0]}/${SHARD_INDEX}`);
  const hashes = index.ok ? Object.values(shardHashes(shardIndexOf(await index.bytes()))) : [];
  for (const path of [...paths, ...hashes.map((hash) => `noarch/shards/${hash}.msgpack.zst`)]) {
    const answers = await Promise.all(bases.map((base) => read(`${base}/${path}`)));
    const [first] = answers;
    if (first?.status !== 200) problems.push(`${bases[0]}/${path} was answered ${first?.status}`);
    if (answers.some((answer) => !Bun.deepEquals(answer, first))) problems.push(`the nodes differ in ${path}`);
  }
  return problems;
}

async function read(url: string) {
  const answer = await fetch(url);
  const { status, headers } = answer;
  return { status, etag: headers.get("etag"), modified: headers.get("last-modified"), bytes: await answer.bytes() };
}
