// The channel this server holds itself.

import { unavailable } from "../../errors.ts";
import type { Events } from "../../events.ts";
import type { Database } from "../../models/database.ts";
import { findFile } from "../../models/package-file.ts";
import { channelLabel, type ChannelPlace } from "../channel-place.ts";
import type { Engine } from "../index/engine.ts";
import type { SmallBlobs } from "../small-blobs.ts";
import type { Shards } from "../index/shards.ts";
import type { Source } from "./source.ts";

export type LocalSourceParts = {
  readonly database: Database;
  readonly smallBlobs: SmallBlobs;
  readonly engine: Engine;
  readonly events: Events;
  readonly shards: Shards;
  readonly publicUrl: string;
};

export function createLocalSource(parts: LocalSourceParts, place: ChannelPlace): Source {
  const channelId = place.channel?.id;
  const title = channelLabel(place.owner.name, place.name);
  const path = [place.owner.name, ...place.name.split("/")].filter((part) => part !== "").map(encodeURIComponent);
  const view = { channelId, address: { title, url: `${parts.publicUrl}/${path.join("/")}` } };
  return {
    document: (document) => parts.engine.document(view, document),
    peek: (document) => parts.engine.peek(view, document),
    shard: async (hash) => (channelId === undefined ? undefined : await parts.shards.find(channelId, hash)),
    file: async (section, fileName) => {
      if (channelId === undefined) return undefined;
      const file = await findFile(parts.database.read, { channelId, section, fileName });
      if (!file || file.state === "quarantined") return undefined;
      const { sha256, size } = file.blob;
      return {
        sha256,
        size,
        state: file.state,
        lastModified: file.publishedAt,
        isInMemory: parts.smallBlobs.keeps(size),
        open: async (range) => {
          const blob = await parts.smallBlobs.open(sha256, size, range);
          if (blob) return blob;
          parts.events.internalError(new Error(`the blob ${sha256} is missing`), "blobs");
          throw unavailable("The content of this file is missing on the server; its administrator has been told.", 300);
        },
      };
    },
  };
}
