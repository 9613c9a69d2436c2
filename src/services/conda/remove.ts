// Deleting one file. The blob stays until the collector finds it without a reference.

import { notFound } from "../../errors.ts";
import type { Events } from "../../events.ts";
import type { Database, Transaction } from "../../models/database.ts";
import { parseFileName } from "../../modules/conda/file-name.ts";
import type { Access } from "../access.ts";
import type { Actor } from "../actor.ts";
import { channelLabel } from "../channel-place.ts";
import type { Packages } from "../packages.ts";

export type RemoveRequest = {
  readonly actor: Actor;
  readonly owner: string;
  readonly channel: string;
  readonly subdir: string;
  readonly fileName: string;
};

/** Errors: `unauthenticated`, `forbidden`, `not-found`. */
export type Remove = (request: RemoveRequest) => Promise<void>;

export type RemoveParts = {
  readonly database: Database;
  readonly access: Access;
  readonly packages: Packages;
  readonly events: Events;
};

export function createRemove({ database, access, packages, events }: RemoveParts): Remove {
  return async ({ actor, owner, channel: channelName, subdir, fileName }) => {
    // A name that is no file's is a package's as a whole: what a token is bound to is never passed by.
    const packageName = parseFileName(fileName)?.name ?? fileName;
    const target = { kind: "channel", owner, channel: channelName, packageName } as const;
    await access.require(actor, "delete", target);
    const change = async (tx: Transaction): Promise<void> => {
      const { channel } = await access.require(actor, "delete", target, tx);
      if (!channel) throw notFound(`There is no ${subdir}/${fileName} in this channel.`);
      await packages.removeFile(tx, { channel, section: subdir, fileName }, actor);
    };
    await database.transact(change, { evenIfFull: true });
    events.fileDeleted(channelLabel(owner, channelName), `${subdir}/${fileName}`);
  };
}
