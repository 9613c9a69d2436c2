// How each document is made: what is caught up for it, and what it is put together from.

import { latestRevision } from "../../../models/channel.ts";
import type { DerivedPlace } from "../../../models/index/scope.ts";
import { catchUpSegments } from "../../index/catch-up/segments.ts";
import { BEFORE_ANY } from "../../index/catch-up/parts.ts";
import type { Form } from "../../index/documents.ts";
import type { BuildScope, DocumentBuilder, KeptFamily } from "../../index/format.ts";
import { catchUpChanneldata, composeChanneldata, composeFeed } from "./channel.ts";
import { BZIP2_ENTRY_BYTES, composeSegmented, makeBzip2 } from "../../index/segments/compose.ts";
import { catchUpCurrent, composeCurrent } from "./current.ts";
import type { Layout } from "../../index/segments/layout.ts";
import { requireDocumentName, type DocumentName } from "./names.ts";
import { REPODATA, RUN_EXPORTS } from "./layouts.ts";
import { catchUpShards, composeCatalogue } from "../shards/index.ts";

/** Only old clients ask for bzip2, and they have the other forms. */
const BZIP2_LIMIT = 64 * 1024 ** 2;

const BUILDERS: Readonly<Record<DocumentName, DocumentBuilder>> = {
  "repodata.json": segmented(REPODATA, "json"),
  "repodata.json.zst": segmented(REPODATA, "zst"),
  "repodata.json.bz2": segmented(REPODATA, "bz2"),
  "run_exports.json": segmented(RUN_EXPORTS, "json"),
  "run_exports.json.zst": segmented(RUN_EXPORTS, "zst"),
  "repodata_shards.msgpack.zst": {
    family: "shards",
    catchUp: (work, place) => catchUpShards(work, placeOf(place, "shards")),
    compose: (work, place) => composeCatalogue(work, placeOf(place, "shards")),
  },
  "current_repodata.json": current("current_repodata.json"),
  "current_repodata.json.zst": current("current_repodata.json.zst"),
  "channeldata.json": {
    family: "channeldata",
    catchUp: (work, place) => catchUpChanneldata(work, placeOf(place, "channeldata")),
    compose: (work, place) => composeChanneldata(work, placeOf(place, "channeldata")),
  },
  "rss.xml": {
    family: "feed",
    catchUp: async ({ reader }, { channelId }) => ({
      kind: "current",
      moment: (await latestRevision(reader, channelId)) ?? BEFORE_ANY,
    }),
    compose: (work, { channelId, address }) => composeFeed(work, channelId, address),
  },
};

function placeOf({ channelId, section }: BuildScope, family: string): DerivedPlace {
  return { channelId, section, family };
}

function segmented(layout: Layout, form: Form): DocumentBuilder {
  return {
    family: layout.name,
    catchUp: (work, place) => catchUpSegments(work, placeOf(place, layout.name), layout),
    compose: async function* (work, scope) {
      const place = placeOf(scope, layout.name);
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
    family: "current",
    catchUp: (work, place) => catchUpCurrent(work, placeOf(place, "current")),
    compose: (work, place) => composeCurrent(work, placeOf(place, "current"), name),
  };
}

/** Errors: there is no document of this name. */
export function builderOf(name: string): DocumentBuilder {
  return BUILDERS[requireDocumentName(name)];
}

const OF_SECTION: readonly KeptFamily[] = [
  { family: "repodata", documents: ["repodata.json", "repodata.json.zst", "repodata.json.bz2"] },
  { family: "run_exports", documents: ["run_exports.json", "run_exports.json.zst"] },
  { family: "shards", documents: ["repodata_shards.msgpack.zst"] },
  { family: "current", documents: ["current_repodata.json", "current_repodata.json.zst"] },
];
/** The feed is made of the newest files each time and keeps nothing. */
const OF_CHANNEL: readonly KeptFamily[] = [{ family: "channeldata", documents: ["channeldata.json"] }];

export function keptFamilies(section: string): readonly KeptFamily[] {
  return section === "" ? OF_CHANNEL : OF_SECTION;
}
