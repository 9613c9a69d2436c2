// What each document of a channel is made of. The engine decides when; this says how.

import type { Reader } from "../../models/database.ts";
import { listSections, pageOfSection, type IndexedFile } from "../../models/package-file.ts";
import type { PackageMetadata } from "../../modules/conda/archive.ts";
import { composeChanneldata, type ChanneldataFile } from "../../modules/conda/channeldata.ts";
import { composeRepodata, type RepodataEntry } from "../../modules/conda/repodata.ts";

export type DocumentName = "repodata.json" | "repodata.json.zst" | "channeldata.json";

/** The part of a channel that documents are made for: today the whole of it. */
export type View = { readonly channelId: number | undefined };

/** A document of a section, or of the channel as a whole when `section` is undefined. */
export type DocumentPlace = { readonly section: string | undefined; readonly name: DocumentName };

const PAGE = 1000;
const ZSTD_LEVEL = 9;

/** The bytes of an uncompressed document, from one snapshot. */
export async function composeDocument(reader: Reader, view: View, place: DocumentPlace): Promise<Uint8Array> {
  const text =
    place.section === undefined ? await channeldata(reader, view) : await repodata(reader, view, place.section);
  return new TextEncoder().encode(text);
}

/** One frame with its content size and no checksum, which every client's decoder takes. */
export async function compressDocument(content: Uint8Array): Promise<Uint8Array> {
  return await Bun.zstdCompress(content, { level: ZSTD_LEVEL });
}

async function repodata(reader: Reader, view: View, section: string): Promise<string> {
  const entries: RepodataEntry[] = [];
  const removed: string[] = [];
  for await (const file of filesOf(reader, view, section)) {
    if (file.state === "active") entries.push(entryOf(file));
    if (file.state === "yanked") removed.push(file.fileName);
  }
  return composeRepodata(section, entries, removed);
}

async function channeldata(reader: Reader, view: View): Promise<string> {
  const files: ChanneldataFile[] = [];
  const sections = view.channelId === undefined ? [] : await listSections(reader, view.channelId);
  for (const section of sections) {
    for await (const file of filesOf(reader, view, section)) {
      if (file.state === "active") files.push({ ...file, subdir: section, metadata: metadataOf(file) });
    }
  }
  return composeChanneldata(files);
}

function entryOf(file: IndexedFile): RepodataEntry {
  return { ...file, indexedTimestamp: file.publishedAt, runExports: metadataOf(file).runExports };
}

/** Written by the publish, from checked parts. */
function metadataOf(file: IndexedFile): PackageMetadata {
  const metadata: PackageMetadata = JSON.parse(file.metadata);
  return metadata;
}

async function* filesOf(reader: Reader, view: View, section: string): AsyncGenerator<IndexedFile> {
  if (view.channelId === undefined) return;
  let page: IndexedFile[] = [];
  do {
    page = await pageOfSection(reader, { channelId: view.channelId, section }, page.at(-1), PAGE);
    yield* page;
    // Other requests get their turn between two pages.
    await new Promise((resolve) => setImmediate(resolve));
  } while (page.length === PAGE);
}
