// The source of a channel that this server stores.

import { AppError, unavailable } from "../../errors.ts";
import type { Events } from "../../events.ts";
import type { Database } from "../../models/database.ts";
import { findFile, hasFiles, type PackageFileRow } from "../../models/package-file.ts";
import { channelLabel, channelUrl, type ChannelRef } from "../channel-ref.ts";
import { quarantinedError } from "../file-quarantine.ts";
import { PLAIN_VIEW } from "../index/documents.ts";
import type { BuiltDocument, Engine } from "../index/engine.ts";
import type { BlobStore, StoredBlob } from "../../modules/storage/blob-store.ts";
import { blobKey } from "../../modules/storage/keys.ts";
import type { Bodies, ByteRange, Stored } from "../bodies.ts";
import type { Shards } from "../conda/shards/read.ts";
import type { AbsentDocument, Source, SourceDocument } from "./source.ts";

export type LocalSourceParts = {
  readonly database: Database;
  readonly blobs: BlobStore;
  readonly bodies: Bodies;
  readonly engine: Engine;
  readonly events: Events;
  readonly shards: Shards;
  readonly publicUrl: string;
};

export function createLocalSource(parts: LocalSourceParts, ref: ChannelRef): Source {
  const channelId = ref.channel?.id;
  const title = channelLabel(ref.owner.name, ref.name);
  const address = { title, url: channelUrl(parts.publicUrl, ref.owner.name, ref.name) };
  const view = channelId === undefined ? undefined : { channelId, view: PLAIN_VIEW, address };
  const { engine } = parts;
  const { signedUrl } = parts.blobs;
  return {
    document: async (key) =>
      withGzip(engine, view ? await engine.document(view, key) : engine.emptyDocument(address, key)),
    peek: async (key) => {
      const document = view && (await engine.peek(view, key));
      return document && withGzip(engine, document);
    },
    shard: async (hash) => (channelId === undefined ? undefined : await parts.shards.find(channelId, hash)),
    isEmpty: async () => channelId === undefined || !(await hasFiles(parts.database.read, channelId)),
    file: async (section, fileName) => {
      if (channelId === undefined) return undefined;
      const file = await findFile(parts.database.read, { channelId, section, fileName });
      if (!file) return undefined;
      if (file.state === "quarantined") throw refusedError(ref, file);
      const stored = await storedBlob(parts, file.blob);
      return {
        sha256: file.blob.sha256,
        size: stored.size,
        state: file.state,
        lastModified: file.publishedAt,
        heldBytes: 0,
        signedUrl: signedUrl && ((download) => signedUrl(blobKey(file.blob.sha256), download)),
        open: (request) => parts.bodies.open(stored, request),
        replayable: (request) => parts.bodies.kept(stored, request),
      };
    },
  };
}

function refusedError({ owner, name, type }: ChannelRef, file: PackageFileRow): AppError {
  const { code, message } = quarantinedError(file, "cannot be downloaded", "forbidden");
  const refused = { action: "read", owner: owner.name, channel: name, type };
  return new AppError(code, message, { refused });
}

function withGzip({ packing }: Engine, document: BuiltDocument | AbsentDocument): SourceDocument | AbsentDocument {
  if (document.kind === "absent") return document;
  const { packable, ...built } = document;
  const gzip = packable && { make: () => packing.pack(packable), find: () => packing.packed(packable) };
  return { ...built, gzip };
}

/** Throws when the size of the blob differs from its row: such a blob is never sent as a package. */
async function storedBlob(
  { blobs, events }: Pick<LocalSourceParts, "blobs" | "events">,
  { sha256, size }: { readonly sha256: string; readonly size: number },
): Promise<Stored> {
  const key = blobKey(sha256);
  const missing = (): AppError => {
    events.internalError(new Error(`the blob ${sha256} is missing`), "blobs");
    return unavailable("The content of this file is missing on the server. The administrator has been notified.", 300);
  };
  const info = await blobs.stat(key);
  if (!info) throw missing();
  if (info.size !== size) throw new Error(`the blob ${sha256} has ${info.size} bytes instead of ${size}`);
  const open = async (range?: ByteRange): Promise<StoredBlob> => {
    const blob = await blobs.open(key, range);
    if (!blob) throw missing();
    return blob;
  };
  return { key, size, open };
}
