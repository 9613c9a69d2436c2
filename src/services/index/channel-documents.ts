// The documents of a channel as a whole: `channeldata.json`, name by name, and the feed of its newest packages.

import type { DerivedPlace } from "../../models/derived-place.ts";
import { filesOfName, listSections, newestFiles, type IndexedFile } from "../../models/package-file.ts";
import {
  channeldataEntry,
  channeldataText,
  type ChanneldataEntry,
  type ChanneldataFile,
} from "../../modules/conda/channeldata.ts";
import { composeRss } from "../../modules/conda/rss.ts";
import { isReadable, ofReadable } from "./aside.ts";
import { catchUpNames, type NameValue } from "./catch-up.ts";
import type { CatchUpParts, Progress } from "./catch-up-parts.ts";
import { wholeDocument, type Composition } from "./compose.ts";
import { metadataOf } from "./families.ts";

const NEWEST = 50;

export async function catchUpChanneldata(work: CatchUpParts, place: DerivedPlace): Promise<Progress> {
  const sections = await listSections(work.reader, place.channelId);
  const valueOf = async (name: string): Promise<NameValue> => {
    const files: IndexedFile[] = [];
    for (const section of sections) {
      files.push(...(await filesOfName(work.reader, { ...place, section }, name)));
    }
    const active = files.filter((file) => file.state === "active");
    const { value: text, aside } = ofReadable(active, (some) => channeldataEntry(some.map(channeldataFile)));
    return { value: text === undefined ? undefined : Buffer.from(text), aside };
  };
  return await catchUpNames(work, place, { valueOf, atOnce: 1 });
}

function channeldataFile(file: IndexedFile): ChanneldataFile {
  return { ...file, subdir: file.section, metadata: metadataOf(file) };
}

export async function composeChanneldata(work: CatchUpParts, place: DerivedPlace): Promise<Composition> {
  const sections = await listSections(work.reader, place.channelId);
  return wholeDocument(() => channeldataText(entriesOf(work, place), sections), "json");
}

function* entriesOf({ derived }: CatchUpParts, place: DerivedPlace): Generator<ChanneldataEntry, void, undefined> {
  for (const { name, value } of derived.eachEntry(place)) yield { name, text: Buffer.from(value).toString() };
}

/** The channel as people are shown it. */
export type ChannelAddress = { readonly title: string; readonly url: string };

export async function composeFeed(
  work: CatchUpParts,
  channelId: number,
  { title, url }: ChannelAddress,
): Promise<Composition> {
  const files = await newestFiles(work.reader, channelId, NEWEST);
  const items = files.filter(isReadable).map((file) => {
    const { summary } = metadataOf(file).about;
    return {
      title: `${file.section}/${file.fileName}`,
      link: `${url}/${file.section}/${encodeURIComponent(file.fileName)}`,
      description: typeof summary === "string" ? summary : undefined,
      publishedAt: file.publishedAt,
    };
  });
  const text = composeRss({ title, link: url, items });
  return wholeDocument(() => [text], "json");
}
