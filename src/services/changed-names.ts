// One revision of a channel whose change concerns files of several names.

import { bumpRevision } from "../models/channel.ts";
import type { Transaction } from "../models/database.ts";
import { touchIndexParts } from "../models/index-part.ts";
import type { PackageFileRow } from "../models/package-file.ts";
import { randomHex } from "../modules/ids.ts";
import { userOf, type Actor } from "./actor.ts";

export type NamesChange = {
  readonly channelId: number;
  /** The changed files; many may have the same name. */
  readonly files: readonly Pick<PackageFileRow, "section" | "packageName">[];
  readonly actor: Actor;
  /** ms UTC */
  readonly at: number;
};

/** Returns the number of the revision, at which each of the names has changed. */
export async function reviseNames(tx: Transaction, { channelId, files, actor, at }: NamesChange): Promise<number> {
  const actorId = userOf(actor)?.id ?? null;
  const revision = await bumpRevision(tx, { channelId, identity: randomHex(16), at, actorId });
  const names = new Map(files.map(({ section, packageName: name }) => [`${section}/${name}`, { section, name }]));
  await touchIndexParts(
    tx,
    [...names.values()].map((name) => ({ channelId, ...name, revision })),
  );
  return revision;
}
