// How each document is made: what is caught up for it, and what it is put together from.

import { latestRevision } from "../../../models/channel.ts";
import { yankedFiles } from "../../../models/package-file.ts";
import { catchUpSegments } from "../../index/catch-up/segments.ts";
import { BEFORE_ANY, type CatchUpParts, type Moment, type Progress } from "../../index/catch-up/parts.ts";
import { catchUpChanneldata, composeChanneldata, composeFeed, type ChannelAddress } from "./channel.ts";
import {
  BZIP2_ENTRY_BYTES,
  composeSegmented,
  makeBzip2,
  type Composition,
  type Form,
} from "../../index/segments/compose.ts";
import { catchUpCurrent, composeCurrent } from "./current.ts";
import type { DocumentName } from "./names.ts";
import { REPODATA, RUN_EXPORTS, type Family } from "./layouts.ts";
import { finish, type Work } from "../../index/steps/long-work.ts";
import { catchUpShards, composeCatalogue } from "../shards/index.ts";

export type Made =
  | { readonly kind: "absent"; readonly moment: Moment; readonly why: string }
  | { readonly kind: "composed"; readonly moment: Moment; readonly composition: Composition };

export type RecipePlace = {
  readonly channelId: number;
  /** Empty for documents of the channel as a whole. */
  readonly section: string;
  readonly address: ChannelAddress;
};

export type Recipe = {
  /** Of what is kept for it. */
  readonly family: string;
  /** One step, inside one snapshot. */
  catchUp(work: CatchUpParts, place: RecipePlace): Promise<Progress>;
  /** Puts the document together, or says why there is none. Nothing of its family may change until that has ended. */
  compose(work: CatchUpParts, place: RecipePlace): Work<Composition | string>;
};

/** Only old clients ask for bzip2, and they have the other forms. */
const BZIP2_LIMIT = 64 * 1024 ** 2;

export const RECIPES: Readonly<Record<DocumentName, Recipe>> = {
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

function placeOf(
  { channelId, section }: RecipePlace,
  family: string,
): Omit<RecipePlace, "address"> & { family: string } {
  return { channelId, section, family };
}

function segmented(family: Family, form: Form): Recipe {
  return {
    family: family.name,
    catchUp: (work, place) => catchUpSegments(work, placeOf(place, family.name), family),
    compose: async function* (work, recipePlace) {
      const place = placeOf(recipePlace, family.name);
      const yanked = await yankedFiles(work.reader, place.channelId, place.section);
      const composition = composeSegmented(work.derived, place, family, { form, yanked });
      if (form !== "bz2") return composition;
      if (composition.textSize > BZIP2_LIMIT) return "The channel is too large for bzip2: use repodata.json.zst.";
      if (yield* makeBzip2(work.derived, place, family)) return composition;
      return `A record has more than ${BZIP2_ENTRY_BYTES} characters, too many for bzip2: use repodata.json.zst.`;
    },
  };
}

function current(name: DocumentName): Recipe {
  return {
    family: "current",
    catchUp: (work, place) => catchUpCurrent(work, placeOf(place, "current")),
    compose: (work, place) => composeCurrent(work, placeOf(place, "current"), name),
  };
}

/** All of it in one snapshot. */
export async function makeNow(work: CatchUpParts, place: RecipePlace, name: DocumentName): Promise<Made> {
  const { catchUp, compose } = RECIPES[name];
  for (;;) {
    const progress = await catchUp(work, place);
    if (progress.kind === "current") return madeOf(await finish(compose(work, place)), progress.moment);
  }
}

export function madeOf(composed: Composition | string, moment: Moment): Made {
  if (typeof composed === "string") return { kind: "absent", moment, why: composed };
  return { kind: "composed", moment, composition: composed };
}
