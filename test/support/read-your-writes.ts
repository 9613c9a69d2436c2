// What one node has acknowledged, the next request to another node must show, in every document.

import { documentPaths, shardHashes, shardIndexOf, textOf } from "./documents.ts";
import { buildPackage } from "./package-builder.ts";

export type WritesAndReads = {
  /** The nodes' URLs: they publish and answer by turns. */
  readonly urls: readonly [string, string];
  readonly owner: string;
  readonly channel: string;
  readonly token: string;
  readonly rounds: number;
};

const PATHS = documentPaths("noarch");

/** Returns what was wrong, one sentence each. */
export async function readYourWrites(options: WritesAndReads): Promise<string[]> {
  const { urls, owner, channel, token, rounds } = options;
  const etags = new Map<string, string>();
  const problems: string[] = [];
  for (let round = 0; round < rounds; round++) {
    const [writer, reader] = round % 2 === 0 ? urls : [urls[1], urls[0]];
    const built = buildPackage({ name: `r${round}-end`, version: "1" });
    const answer = await fetch(`${writer}/api/packages/${owner}/conda/${channel}/${built.fileName}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${token}` },
      body: built.bytes.slice(),
    });
    if (answer.status !== 201) throw new Error(`a publish was answered ${answer.status}: ${await answer.text()}`);
    const found = await Promise.all(
      PATHS.map((path) => readAfterWrite(`${reader}/${owner}/${channel}/${path}`, path, etags, `r${round}-end`)),
    );
    problems.push(...found.filter((problem) => problem !== undefined));
  }
  return problems;
}

/** Reads with the ETag from before the publish: 304 would hide it. */
async function readAfterWrite(
  url: string,
  path: string,
  etags: Map<string, string>,
  name: string,
): Promise<string | undefined> {
  const before = etags.get(path);
  const answer = await fetch(url, { headers: before === undefined ? {} : { "if-none-match": before } });
  const bytes = await answer.bytes();
  if (answer.status !== 200) return `${url} was answered ${answer.status} after ${name} was published`;
  etags.set(path, answer.headers.get("etag") ?? "");
  return shows(path, bytes, name) ? undefined : `${url} does not show ${name}`;
}

function shows(path: string, bytes: Uint8Array, name: string): boolean {
  // Slow to decode; `differences` compares it with the others.
  if (path.endsWith(".bz2")) return true;
  if (path.endsWith(".msgpack.zst")) return Object.hasOwn(shardHashes(shardIndexOf(bytes)), name);
  return textOf(path, bytes).includes(name);
}
