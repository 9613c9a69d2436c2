// How many files channels have, and their bytes: counted in steps, so that no other request waits for a large channel.

import { sizesAfter } from "../models/channel-contents.ts";
import type { ChannelRow } from "../models/channel.ts";
import type { Reader } from "../models/database.ts";
import { createLru } from "../modules/lru.ts";
import { createMutex } from "../modules/mutex.ts";

export type ChannelSize = { readonly files: number; readonly bytes: number };

export type ChannelSizes = { of(channel: Pick<ChannelRow, "id" | "revision">): Promise<ChannelSize> };

/** Files of one step, about ten milliseconds. */
const STEP = 2000;
const MOST_KNOWN = 10_000;

export function createChannelSizes({ reader }: { readonly reader: Reader }): ChannelSizes {
  const known = createLru<number, { readonly revision: number; readonly size: Promise<ChannelSize> }>({
    maxEntries: MOST_KNOWN,
  });
  // One channel at a time: many large ones must not slow down everything else.
  const turns = createMutex();

  async function count(channelId: number): Promise<ChannelSize> {
    let [files, bytes] = [0, 0];
    for (let after: Parameters<typeof sizesAfter>[2]; ;) {
      const page = await sizesAfter(reader, channelId, after, STEP);
      files += page.length;
      for (const { size } of page) bytes += size;
      after = page.at(-1);
      if (page.length < STEP) return { files, bytes };
      await Bun.sleep(0);
    }
  }

  return {
    of: async ({ id, revision }) => {
      const before = known.get(id);
      if (before?.revision === revision) return await before.size;
      const size = turns.run(() => count(id));
      known.set(id, { revision, size });
      try {
        return await size;
      } catch (error) {
        known.delete(id);
        throw error;
      }
    },
  };
}
