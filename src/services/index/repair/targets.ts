// Lists what to rebuild: the channels, largest first, each with its sections and the entire channel.

import { notFound } from "../../../errors.ts";
import { listChannels } from "../../../models/channel.ts";
import type { DataFolder } from "../../../models/data-folder.ts";
import type { Database, Reader, Snapshots } from "../../../models/database.ts";
import { changedSections } from "../../../models/index-part.ts";
import { countFiles, listSections } from "../../../models/package-file.ts";
import type { Clock } from "../../../modules/clock.ts";
import type { BlobStore } from "../../../modules/storage/blob-store.ts";
import type { DerivedFiles } from "../../../modules/storage/derived-files.ts";
import { channelLabel, DEFAULT_TYPE, type ChannelName } from "../../channel-ref.ts";
import type { PackageTypes } from "../../package-type.ts";
import { WHOLE_CHANNEL } from "../documents.ts";
import type { IndexFormat } from "../format.ts";
import { documentsOf } from "./rebuild.ts";
import { foldCase } from "../../../modules/fold-case.ts";

/** The dependencies of checking and repairing. */
export type RepairParts = {
  readonly database: Database;
  readonly blobs: BlobStore;
  readonly files: DerivedFiles;
  readonly clock: Clock;
  readonly folder: Pick<DataFolder, "index" | "temporary">;
  readonly openSnapshots: () => Snapshots & { close(): Promise<void> };
  readonly format: IndexFormat;
  readonly types: PackageTypes;
};

export type RebuildTarget = {
  readonly channelId: number;
  /** The channel reference as people write it. */
  readonly label: string;
  readonly files: number;
  /** Includes `WHOLE_CHANNEL`. */
  readonly sections: readonly string[];
};

/** Errors: `not-found` when there is no such channel, or none with documents. */
export async function rebuildTargets(
  reader: Reader,
  types: Pick<PackageTypes, "named">,
  only?: ChannelName,
): Promise<RebuildTarget[]> {
  const onlyType = only && types.named(only.type ?? DEFAULT_TYPE);
  if (onlyType?.hasDocuments === false) throw notFound(`A ${onlyType.name} channel has no documents.`);
  const targets: RebuildTarget[] = [];
  for (const { id: channelId, type, name, owner } of await listChannels(reader)) {
    if (!types.named(type).hasDocuments || (onlyType && onlyType.name !== type)) continue;
    if (only && (foldCase(only.owner) !== owner.name || (only.channel ?? name) !== name)) continue;
    // A section that lost its last file still has documents; one with files but without a recorded change is a fault.
    const sections = new Set([
      ...(await changedSections(reader, channelId)),
      ...(await listSections(reader, channelId)),
    ]);
    const files = await countFiles(reader, channelId);
    const label = channelLabel(owner.name, name, type);
    targets.push({ channelId, label, files, sections: [...sections, WHOLE_CHANNEL] });
  }
  if (only && targets.length === 0)
    throw notFound(`There is no channel ${channelLabel(only.owner, only.channel ?? "", only.type)}.`);
  return targets.sort((a, b) => b.files - a.files);
}

export function countDocuments(format: IndexFormat, targets: readonly RebuildTarget[]): number {
  return targets.flatMap(({ sections }) => sections.flatMap((section) => documentsOf(format, section))).length;
}

/** The name of a document for people. */
export function documentLabel(target: RebuildTarget, section: string, document: string): string {
  return `${target.label} ${section === WHOLE_CHANNEL ? "" : `${section}/`}${document}`;
}
