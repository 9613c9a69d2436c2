// Caches the bytes that the files of a name take in its document: summing them for each change would cost O(files).

import { revisionIdentity } from "../models/channel.ts";
import type { Reader, Transaction } from "../models/database.ts";
import { nameRevision } from "../models/index-part.ts";
import { weightOfName } from "../models/package-file.ts";
import { createLru } from "../modules/lru.ts";

export type NameKey = { readonly channelId: number; readonly section: string; readonly name: string };

/** The last change of a name's files. Its identity is random, so a change that was rolled back never matches. */
type LastChange = { readonly revision: number; readonly identity: string };

export type NameWeights = {
  /** Bytes of all files of a name; constant cost, unless another process changed the files. */
  of(tx: Transaction, key: NameKey): Promise<number>;
  /** The same, for a check before a transaction; the cache is not changed. */
  peek(reader: Reader, key: NameKey): Promise<number>;
  /** The same, from the cache only; undefined when it is not cached or out of date. */
  known(reader: Reader, key: NameKey): Promise<number | undefined>;
  /** Caches the bytes; `change` and `bytes` must be of the same transaction. */
  keep(key: NameKey, change: LastChange, bytes: number): void;
};

const MAX_NAMES = 20_000;

export function createNameWeights(): NameWeights {
  const cache = createLru<string, LastChange & { readonly bytes: number }>({ maxEntries: MAX_NAMES });

  const keep: NameWeights["keep"] = (key, change, bytes) => cache.set(keyOf(key), { ...change, bytes });
  const cached = (key: NameKey, change: LastChange | undefined): number | undefined => {
    const entry = cache.get(keyOf(key));
    return entry && change?.revision === entry.revision && change.identity === entry.identity ? entry.bytes : undefined;
  };

  return {
    keep,
    known: async (reader, key) =>
      cache.get(keyOf(key)) === undefined ? undefined : cached(key, await lastChange(reader, key)),
    peek: async (reader, key) => {
      const change = await lastChange(reader, key);
      return cached(key, change) ?? (await sumOf(reader, key, change));
    },
    of: async (tx, key) => {
      const change = await lastChange(tx, key);
      const bytes = cached(key, change) ?? (await sumOf(tx, key, change));
      if (change) keep(key, change, bytes);
      return bytes;
    },
  };
}

/** A name that no change has touched has no files. */
async function sumOf(reader: Reader, key: NameKey, change: LastChange | undefined): Promise<number> {
  return change === undefined ? 0 : await weightOfName(reader, key);
}

async function lastChange(reader: Reader, key: NameKey): Promise<LastChange | undefined> {
  const revision = await nameRevision(reader, key);
  if (revision === undefined) return undefined;
  const identity = await revisionIdentity(reader, key.channelId, revision);
  return identity === undefined ? undefined : { revision, identity };
}

function keyOf({ channelId, section, name }: NameKey): string {
  return `${channelId}/${section}/${name}`;
}
