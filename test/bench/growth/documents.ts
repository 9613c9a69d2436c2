// The measured documents, their paths, and the time limit for a reader to see a new package.

import { SUBDIR } from "./channel-files.ts";
import type { Answer } from "./client.ts";

export type GrowthDocument = {
  readonly name: string;
  /** Path below the channel `admin/main`. */
  readonly path: string;
  /** Large channels do not offer it. */
  readonly isLimited?: boolean;
  /** The most ms from a publish to the end of the first read, for 95 of 100, in channels of up to this size. */
  readonly visible?: readonly { readonly upTo: number; readonly ms: number }[];
};

const CHANNEL = "/admin/main";

export const SHARDS: GrowthDocument = {
  ...ofSubdir("repodata_shards.msgpack.zst"),
  visible: [
    { upTo: 100_000, ms: 25 },
    { upTo: 1_000_000, ms: 40 },
  ],
};
export const REPODATA_ZST: GrowthDocument = {
  ...ofSubdir("repodata.json.zst"),
  visible: [
    { upTo: 100_000, ms: 75 },
    { upTo: 1_000_000, ms: 150 },
  ],
};
export const REPODATA: GrowthDocument = ofSubdir("repodata.json");

/** In the order in which a full build produces them. */
export const DOCUMENTS: readonly GrowthDocument[] = [
  SHARDS,
  REPODATA_ZST,
  REPODATA,
  { ...ofSubdir("repodata.json.bz2"), isLimited: true },
  { ...ofSubdir("current_repodata.json"), isLimited: true },
  ofSubdir("run_exports.json.zst"),
  { name: "channeldata.json", path: `${CHANNEL}/channeldata.json` },
  { name: "rss.xml", path: `${CHANNEL}/rss.xml` },
];

/** Why a channel does not offer it; undefined when it does, or when it should. */
export function whyAbsent(
  { isLimited }: { readonly isLimited?: boolean | undefined },
  answer: Answer,
): string | undefined {
  return isLimited === true && answer.status === 404 ? Buffer.from(answer.body).toString() : undefined;
}

/** The limit for a channel of this many records; undefined when there is no target. */
export function mostVisible({ visible }: GrowthDocument, records: number): number | undefined {
  return visible?.find(({ upTo }) => records <= upTo)?.ms;
}

function ofSubdir(name: string): GrowthDocument {
  return { name, path: `${CHANNEL}/${SUBDIR}/${name}` };
}
