// Documents of sections and channels that never had a file: the same bytes as after deleting all files.

import { channeldataText } from "../../../modules/conda/channeldata.ts";
import { composeRepodata } from "../../../modules/conda/repodata.ts";
import { composeRss } from "../../../modules/conda/rss.ts";
import { formOf, PLAIN_VIEW, type ChannelAddress } from "../../index/documents.ts";
import {
  composeSegmented,
  unsegmentedDocument,
  type Composition,
  type SegmentSource,
} from "../../index/segments/compose.ts";
import type { Layout } from "../../index/segments/layout.ts";
import type { DocumentName } from "./names.ts";
import { REPODATA, RUN_EXPORTS } from "./layouts.ts";
import { shardIndexOf } from "../shards/index.ts";

const NOTHING = new Uint8Array(0);
const NO_SEGMENTS: SegmentSource = {
  segments: () => [],
  blocks: () => NOTHING,
  withoutBzip2: () => [],
  bzip2: () => undefined,
  setBzip2: () => undefined,
};

export function emptyDocument(section: string, name: DocumentName, address: ChannelAddress): Composition {
  switch (name) {
    case "repodata.json":
    case "repodata.json.zst":
    case "repodata.json.bz2":
      return segmented(REPODATA, section, name);
    case "run_exports.json":
    case "run_exports.json.zst":
      return segmented(RUN_EXPORTS, section, name);
    case "repodata_shards.msgpack.zst":
      return shardIndexOf(section, []);
    case "current_repodata.json":
    case "current_repodata.json.zst":
      return unsegmentedDocument(() => [composeRepodata(section, [], [])], formOf(name));
    case "channeldata.json":
      return unsegmentedDocument(() => channeldataText([], []), "json");
    case "rss.xml":
      return unsegmentedDocument(() => [composeRss({ title: address.title, link: address.url, items: [] })], "json");
  }
}

function segmented(layout: Layout, section: string, name: DocumentName): Composition {
  const scope = { channelId: 0, view: PLAIN_VIEW, section, layout: layout.name };
  return composeSegmented(NO_SEGMENTS, scope, layout, { form: formOf(name), yanked: [] });
}
