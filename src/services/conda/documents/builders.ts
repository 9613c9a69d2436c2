// How each document is made: what is caught up for it, and what it is put together from.

import { latestRevision } from "../../../models/channel.ts";
import type { IndexScope } from "../../../models/index/scope.ts";
import { catchUpSegments } from "../../index/catch-up/segments.ts";
import { BEFORE_ANY } from "../../index/catch-up/parts.ts";
import { WHOLE_CHANNEL, type Form } from "../../index/documents.ts";
import type { BuildScope, DocumentBuilder, KeptLayout } from "../../index/format.ts";
import { catchUpChanneldata, composeChanneldata, composeFeed } from "./channel.ts";
import { BZIP2_ENTRY_BYTES, composeSegmented, makeBzip2 } from "../../index/segments/compose.ts";
import { catchUpCurrent, composeCurrent } from "./current.ts";
import type { Layout } from "../../index/segments/layout.ts";
import { requireDocumentName, type DocumentName } from "./names.ts";
import { REPODATA, RUN_EXPORTS } from "./layouts.ts";
import { catchUpShards, composeShardIndexDocument } from "../shards/index.ts";

/** Only old clients ask for bzip2, and they have the other forms. */
const BZIP2_LIMIT = 64 * 1024 ** 2;

const BUILDERS: Readonly<Record<DocumentName, DocumentBuilder>> = {
  "repodata.json": segmented(REPODATA, "json"),
  "repodata.json.zst": segmented(REPODATA, "zst"),
  "repodata.json.bz2": segmented(REPODATA, "bz2"),
  "run_exports.json": segmented(RUN_EXPORTS, "json"),
  "run_exports.json.zst": segmented(RUN_EXPORTS, "zst"),
  "repodata_shards.msgpack.zst": {
    layout: "shards",
    catchUp: (work, place) => catchUpShards(work, scopeOf(place, "shards")),
    compose: (work, place) => composeShardIndexDocument(work, scopeOf(place, "shards")),
  },
  "current_repodata.json": current("current_repodata.json"),
  "current_repodata.json.zst": current("current_repodata.json.zst"),
  "channeldata.json": {
    layout: "channeldata",
    catchUp: (work, place) => catchUpChanneldata(work, scopeOf(place, "channeldata")),
    compose: (work, place) => composeChanneldata(work, scopeOf(place, "channeldata")),
  },
  "rss.xml": {
    layout: "feed",
    catchUp: async ({ reader }, { channelId }) => ({
      kind: "current",
      point: (await latestRevision(reader, channelId)) ?? BEFORE_ANY,
    }),
    compose: composeFeed,
  },
};

function scopeOf({ channelId, view, section }: BuildScope, layout: string): IndexScope {
  return { channelId, view, section, layout };
}

function segmented(layout: Layout, form: Form): DocumentBuilder {
  return {
    layout: layout.name,
    catchUp: (work, place) => catchUpSegments(work, scopeOf(place, layout.name), layout),
    compose: async function* (work, scope) {
      const place = scopeOf(scope, layout.name);
      const yanked = await work.records.yanked(place);
      const composition = composeSegmented(work.derived, place, layout, { form, yanked });
      if (form !== "bz2") return composition;
      if (composition.textSize > BZIP2_LIMIT) return "The channel is too large for bzip2: use repodata.json.zst.";
      if (yield* makeBzip2(work.derived, place, layout)) return composition;
      return `A record has more than ${BZIP2_ENTRY_BYTES} characters, too many for bzip2: use repodata.json.zst.`;
    },
  };
}

function current(name: DocumentName): DocumentBuilder {
  return {
    layout: "current",
    catchUp: (work, place) => catchUpCurrent(work, scopeOf(place, "current")),
    compose: (work, place) => composeCurrent(work, scopeOf(place, "current"), name),
  };
}

/** Errors: there is no document of this name. */
export function builderOf(name: string): DocumentBuilder {
  return BUILDERS[requireDocumentName(name)];
}

const OF_SECTION: readonly KeptLayout[] = [
  { layout: "repodata", documents: ["repodata.json", "repodata.json.zst", "repodata.json.bz2"] },
  { layout: "run_exports", documents: ["run_exports.json", "run_exports.json.zst"] },
  { layout: "shards", documents: ["repodata_shards.msgpack.zst"] },
  { layout: "current", documents: ["current_repodata.json", "current_repodata.json.zst"] },
];
/** The feed is made of the newest files each time and keeps nothing. */
const OF_CHANNEL: readonly KeptLayout[] = [{ layout: "channeldata", documents: ["channeldata.json"] }];

export function keptLayouts(section: string): readonly KeptLayout[] {
  return section === WHOLE_CHANNEL ? OF_CHANNEL : OF_SECTION;
}
