// Deletes one file, or all files of a name in a section, for every package type. Blobs stay until garbage collection.

import { notFound } from "../errors.ts";
import type { Events } from "../events.ts";
import type { Database, Transaction } from "../models/database.ts";
import { lockChannel } from "../models/locks.ts";
import type { Access } from "./access.ts";
import type { Actor } from "./actor.ts";
import { channelLabel, type OneChannel } from "./channel-ref.ts";
import type { Packages } from "./packages.ts";

export type Removal = {
  readonly actor: Actor;
  readonly channel: OneChannel;
  readonly packageName: string;
  readonly section: string;
  /** Undefined: all files of the package in the section. */
  readonly fileName: string | undefined;
};

/** Errors: those of `Access.require()`, `not-found`, and `invalid` for more files than one change allows. */
export type Removing = (removal: Removal) => Promise<void>;

export type RemovingParts = {
  readonly database: Database;
  readonly access: Access;
  readonly packages: Packages;
  readonly events: Events;
};

export function createRemoving({ database, access, packages, events }: RemovingParts): Removing {
  return async ({ actor, channel: name, packageName, section, fileName }) => {
    const subject = fileName === undefined ? section : `${section}/${fileName}`;
    const target = { kind: "channel", ...name, packageName } as const;
    const from = await access.require(actor, "delete", target);
    const change = async (tx: Transaction): Promise<void> => {
      const { owner, channel } = await access.require(actor, "delete", target, tx);
      if (!channel) throw notFound(`There is no ${subject} in this channel.`);
      if (channel.id !== from.channel?.id) await lockChannel(tx, channel.id);
      if (fileName === undefined) await packages.removeName(tx, { owner, channel, section, packageName }, actor);
      else await packages.removeFile(tx, { owner, channel, section, fileName }, actor);
    };
    await database.transact(change, { evenIfFull: true, channels: from.channel && [from.channel.id] });
    const requestId = actor.kind === "request" ? actor.requestId : undefined;
    events.fileDeleted({ channel: channelLabel(name.owner, name.channel, name.type), file: subject, requestId });
  };
}
