// How each document is made: what is caught up for it, and what it is put together from.

import { latestRevision } from "../../models/channel.ts";
import { yankedFiles } from "../../models/package-file.ts";
import { catchUpSegments } from "./catch-up.ts";
import { BEFORE_ANY, type CatchUpParts, type Moment, type Progress } from "./catch-up-parts.ts";
import { catchUpChanneldata, composeChanneldata, composeFeed, type ChannelAddress } from "./channel-documents.ts";
import { composeSegmented, makeBzip2, wholeDocument, type Composition, type Form } from "./compose.ts";
import { catchUpCurrent, composeCurrent, MOST_NAMES } from "./current.ts";
import type { DocumentName } from "./documents.ts";
import { REPODATA, RUN_EXPORTS, type Family } from "./families.ts";
import { catchUpShards, composeCatalogue } from "./shard-catalogue.ts";

export type Made =
  | { readonly kind: "more" }
  | { readonly kind: "absent"; readonly moment: Moment; readonly why: string }
  | { readonly kind: "composed"; readonly moment: Moment; readonly composition: Composition };

export type RecipePlace = {
  readonly channelId: number;
  /** Empty for documents of the channel as a whole. */
  readonly section: string;
  readonly address: ChannelAddress;
};

/** Runs inside one snapshot. */
type Recipe = (work: CatchUpParts, place: RecipePlace) => Promise<Made>;

/** Only old clients ask for bzip2, and they have the other forms. */
const BZIP2_LIMIT = 64 * 1024 ** 2;

export const RECIPES: Readonly<Record<DocumentName, Recipe>> = {
  "repodata.json": segmented(REPODATA, "json"),
  "repodata.json.zst": segmented(REPODATA, "zst"),
  "repodata.json.bz2": segmented(REPODATA, "bz2"),
  "run_exports.json": segmented(RUN_EXPORTS, "json"),
  "run_exports.json.zst": segmented(RUN_EXPORTS, "zst"),
  "repodata_shards.msgpack.zst": shards,
  "current_repodata.json": current("json"),
  "current_repodata.json.zst": current("zst"),
  "current_repodata.json.bz2": current("bz2"),
  "channeldata.json": channeldata,
  "rss.xml": feed,
};

function segmented(family: Family, form: Form): Recipe {
  return async (work, { channelId, section }) => {
    const place = { channelId, section, family: family.name };
    const deadline = work.clock.elapsed() + work.budget;
    const progress = await catchUpSegments(work, place, family);
    return await finished(progress, async (moment) => {
      const yanked = await yankedFiles(work.reader, channelId, section);
      const composition = composeSegmented(work.derived, place, family, { form, yanked });
      if (form !== "bz2") return { kind: "composed", moment, composition };
      if (composition.textSize > BZIP2_LIMIT)
        return { kind: "absent", moment, why: "The channel is too large for bzip2: use repodata.json.zst." };
      const isLate = (): boolean => work.clock.elapsed() > deadline;
      return makeBzip2(work.derived, place, family, isLate)
        ? { kind: "composed", moment, composition }
        : { kind: "more" };
    });
  };
}

async function shards(work: CatchUpParts, { channelId, section }: RecipePlace): Promise<Made> {
  const place = { channelId, section, family: "shards" };
  const progress = await catchUpShards(work, place);
  return await finished(progress, async (moment) => ({
    kind: "composed",
    moment,
    composition: composeCatalogue(work, place),
  }));
}

function current(form: Form): Recipe {
  return async (work, { channelId, section }) => {
    const place = { channelId, section, family: "current" };
    const progress = await catchUpCurrent(work, place);
    return await finished(progress, async (moment) => {
      const text = await composeCurrent(work, place);
      if (text !== undefined) return { kind: "composed", moment, composition: wholeDocument(() => [text], form) };
      return { kind: "absent", moment, why: `More than ${MOST_NAMES} names: use repodata.json.` };
    });
  };
}

async function channeldata(work: CatchUpParts, { channelId }: RecipePlace): Promise<Made> {
  const place = { channelId, section: "", family: "channeldata" };
  const progress = await catchUpChanneldata(work, place);
  return await finished(progress, async (moment) => ({
    kind: "composed",
    moment,
    composition: await composeChanneldata(work, place),
  }));
}

async function feed(work: CatchUpParts, { channelId, address }: RecipePlace): Promise<Made> {
  const moment = (await latestRevision(work.reader, channelId)) ?? BEFORE_ANY;
  return { kind: "composed", moment, composition: await composeFeed(work, channelId, address) };
}

async function finished(progress: Progress, make: (moment: Moment) => Promise<Made>): Promise<Made> {
  return progress.kind === "more" ? { kind: "more" } : await make(progress.moment);
}
