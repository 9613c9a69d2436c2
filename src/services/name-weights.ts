// How much the files of a name take in its document, kept in memory: a sum over them all would cost more the more there are.

import { revisionIdentity } from "../models/channel.ts";
import type { Reader, Transaction } from "../models/database.ts";
import { nameRevision } from "../models/index-part.ts";
import { weightOfName } from "../models/package-file.ts";
import { createLru } from "../modules/lru.ts";

export type NameKey = { readonly channelId: number; readonly section: string; readonly name: string };

/** The change that made the files of a name what they are. Its identity is random, so one that was rolled back never fits. */
type LastChange = { readonly revision: number; readonly identity: string };

export type NameWeights = {
  /** Bytes of all files of a name; costs the same whatever there is, unless something else changed them. */
  of(tx: Transaction, key: NameKey): Promise<number>;
  /** The same, when it is known without a look at them. */
  known(reader: Reader, key: NameKey): Promise<number | undefined>;
  /** Remembers it; only what was read in one transaction fits together. */
  keep(key: NameKey, change: LastChange, bytes: number): void;
};

const NAMES = 20_000;

export function createNameWeights(): NameWeights {
  const kept = createLru<string, LastChange & { readonly bytes: number }>({ maxEntries: NAMES });

  const keep: NameWeights["keep"] = (key, change, bytes) => kept.set(keyOf(key), { ...change, bytes });
  const known: NameWeights["known"] = async (reader, key) => {
    const one = kept.get(keyOf(key));
    if (one === undefined) return undefined;
    const change = await lastChange(reader, key);
    return change?.revision === one.revision && change.identity === one.identity ? one.bytes : undefined;
  };

  return {
    keep,
    known,
    of: async (tx, key) => {
      const bytes = await known(tx, key);
      if (bytes !== undefined) return bytes;
      const change = await lastChange(tx, key);
      const sum = await weightOfName(tx, key);
      if (change) keep(key, change, sum);
      return sum;
    },
  };
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
