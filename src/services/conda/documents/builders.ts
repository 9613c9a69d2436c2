// The builder of each document: how its derived data catches up, and how the document is composed.

import { latestRevision } from "../../../models/channel.ts";
import type { IndexScope } from "../../../models/index/scope.ts";
import { catchUpSegments } from "../../index/catch-up/segments.ts";
import { BEFORE_ANY } from "../../index/catch-up/parts.ts";
import { WHOLE_CHANNEL, type Form } from "../../index/documents.ts";
import type { BuildScope, DocumentBuilder, StoredLayout } from "../../index/format.ts";
import { catchUpChanneldata, composeChanneldata, composeFeed } from "./channel.ts";
import { MAX_BZIP2_ENTRY_LENGTH, composeSegmented, makeBzip2 } from "../../index/segments/compose.ts";
import { catchUpCurrent, composeCurrent } from "./current.ts";
import type { Layout } from "../../index/segments/layout.ts";
import { requireDocumentName, type DocumentName } from "./names.ts";
import { REPODATA, RUN_EXPORTS } from "./layouts.ts";
import { catchUpShards, composeShardIndexDocument } from "../shards/index.ts";

/** Bytes of text. Only old clients request bzip2, and they can use the other forms. */
const BZIP2_LIMIT = 64 * 1024 ** 2;

const BUILDERS: Readonly<Record<DocumentName, DocumentBuilder>> = {
  "repodata.json": segmented(REPODATA, "json"),
  "repodata.json.zst": segmented(REPODATA, "zst"),
  "repodata.json.bz2": segmented(REPODATA, "bz2"),
  "run_exports.json": segmented(RUN_EXPORTS, "json"),
  "run_exports.json.zst": segmented(RUN_EXPORTS, "zst"),
  "repodata_shards.msgpack.zst": {
    layout: "shards",
    catchUp: (work, scope) => catchUpShards(work, scopeOf(scope, "shards")),
    compose: (work, scope) => composeShardIndexDocument(work, scopeOf(scope, "shards")),
  },
  "current_repodata.json": current("current_repodata.json"),
  "current_repodata.json.zst": current("current_repodata.json.zst"),
  "channeldata.json": {
    layout: "channeldata",
    catchUp: (work, scope) => catchUpChanneldata(work, scopeOf(scope, "channeldata")),
    compose: (work, scope) => composeChanneldata(work, scopeOf(scope, "channeldata")),
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
    catchUp: (work, scope) => catchUpSegments(work, scopeOf(scope, layout.name), layout),
    compose: async function* (work, buildScope) {
      const scope = scopeOf(buildScope, layout.name);
      const yanked = await work.records.yanked(scope);
      const composition = composeSegmented(work.derived, scope, layout, { form, yanked });
      if (form !== "bz2") return composition;
      if (composition.textSize > BZIP2_LIMIT) return "The document is too large for bzip2: use repodata.json.zst.";
      if (yield* makeBzip2(work.derived, scope, layout)) return composition;
      return `A record has more than ${MAX_BZIP2_ENTRY_LENGTH} characters, too many for bzip2: use repodata.json.zst.`;
    },
  };
}

function current(name: DocumentName): DocumentBuilder {
  return {
    layout: "current",
    catchUp: (work, scope) => catchUpCurrent(work, scopeOf(scope, "current")),
    compose: (work, scope) => composeCurrent(work, scopeOf(scope, "current"), name),
  };
}

/** Throws when no document has this name. */
export function builderOf(name: string): DocumentBuilder {
  return BUILDERS[requireDocumentName(name)];
}

const OF_SECTION: readonly StoredLayout[] = [
  { layout: "repodata", documents: ["repodata.json", "repodata.json.zst", "repodata.json.bz2"] },
  { layout: "run_exports", documents: ["run_exports.json", "run_exports.json.zst"] },
  { layout: "shards", documents: ["repodata_shards.msgpack.zst"] },
  { layout: "current", documents: ["current_repodata.json", "current_repodata.json.zst"] },
];
/** The feed is built from the newest files on each request and stores no derived data. */
const OF_CHANNEL: readonly StoredLayout[] = [{ layout: "channeldata", documents: ["channeldata.json"] }];

export function storedLayouts(section: string): readonly StoredLayout[] {
  return section === WHOLE_CHANNEL ? OF_CHANNEL : OF_SECTION;
}
