// The documents of a channel: `channeldata.json`, built name by name, and the feed of its newest packages.

import type { IndexScope } from "../../../models/index/scope.ts";
import type { IndexedFile } from "../../../models/indexed-file.ts";
import {
  channeldataText,
  createChanneldataName,
  type ChanneldataEntry,
  type ChanneldataFile,
} from "../../../modules/conda/channeldata.ts";
import { composeRss } from "../../../modules/conda/rss.ts";
import { urlBelow } from "../../../modules/http/url.ts";
import { eachRecord, type RecordPage } from "../../index/records.ts";
import { catchUpNames } from "../../index/catch-up/names.ts";
import type { CatchUpParts, NameValue, Progress } from "../../index/catch-up/parts.ts";
import { unsegmentedDocument, type Composition } from "../../index/segments/compose.ts";
import { folderOf, WHOLE_CHANNEL } from "../../index/documents.ts";
import type { BuildScope } from "../../index/format.ts";
import { metadataOf } from "./layouts.ts";
import type { Work } from "../../index/steps/long-work.ts";
import { spoolText } from "../../index/files/spool.ts";

const NEWEST = 50;

export async function catchUpChanneldata(work: CatchUpParts, scope: IndexScope): Promise<Progress> {
  const { records } = work;
  const sections = await records.sections(scope);
  async function* pages(name: string): AsyncGenerator<RecordPage, void, undefined> {
    for (const section of sections) yield* records.ofName({ ...scope, section }, name);
  }
  async function* valueOf(name: string): Work<NameValue> {
    const entry = createChanneldataName();
    const skipped = yield* eachRecord(pages(name), (file) => entry.add(channeldataFile(file)));
    const text = entry.text();
    return { value: text === undefined ? undefined : Buffer.from(text), skipped };
  }
  const bytesOf = async (name: string): Promise<number> => {
    let bytes = 0;
    for (const section of sections) bytes += await records.bytesOfName({ ...scope, section }, name);
    return bytes;
  };
  return await catchUpNames(work, scope, { valueOf, bytesOf, atOnce: 1 });
}

function channeldataFile(file: IndexedFile): ChanneldataFile {
  return { ...file, subdir: file.section, metadata: metadataOf(file) };
}

export async function* composeChanneldata(work: CatchUpParts, scope: IndexScope): Work<Composition> {
  const sections = await work.records.sections(scope);
  const draft = () => work.files.draft(folderOf(scope, { section: WHOLE_CHANNEL, name: "channeldata.json" }));
  const text = channeldataText(entriesOf(work, scope), sections);
  const composition = yield* spoolText(toAsync(text), { draft, form: "json", most: Number.POSITIVE_INFINITY });
  if (!composition) throw new Error("a document without a size limit exceeds its limit");
  return composition;
}

async function* toAsync(parts: Iterable<string>): AsyncGenerator<string, void, undefined> {
  yield* parts;
}

function* entriesOf({ derived }: CatchUpParts, scope: IndexScope): Generator<ChanneldataEntry, void, undefined> {
  for (const { name, value } of derived.eachEntry(scope)) yield { name, text: Buffer.from(value).toString() };
}

export async function* composeFeed(work: CatchUpParts, scope: BuildScope): Work<Composition> {
  const { title, url } = scope.address;
  const files = await work.records.newest(scope, NEWEST);
  yield "step";
  const items = files.map((file) => {
    const { summary } = metadataOf(file).about;
    return {
      title: `${file.section}/${file.fileName}`,
      link: urlBelow(url, file.section, file.fileName),
      description: typeof summary === "string" ? summary : undefined,
      publishedAt: file.publishedAt,
    };
  });
  const text = composeRss({ title, link: url, items });
  return unsegmentedDocument(() => [text], "json");
}
