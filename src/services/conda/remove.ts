// Deleting one file. The blob stays until the collector finds it without a reference.

import { forbidden, unauthenticated } from "../../errors.ts";
import type { Events } from "../../events.ts";
import type { Database, Transaction } from "../../models/database.ts";
import { parseFileName } from "../../modules/conda/file-name.ts";
import { channelLabel, type Access } from "../access.ts";
import type { Channels } from "../channels.ts";
import type { Identities } from "../identities.ts";
import type { Actor, Packages } from "../packages.ts";

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
  readonly identities: Identities;
  readonly channels: Channels;
  readonly packages: Packages;
  readonly events: Events;
};

export function createRemove(parts: RemoveParts): Remove {
  return async (request) => {
    if (request.actor.identity.kind === "anonymous") throw unauthenticated("Sign in to delete.");
    // Who may not read the channel learns from the same refusal as anyone; the rights to delete come after.
    await parts.channels.readable(request.actor.identity, request.owner, request.channel);
    const change = async (tx: Transaction): Promise<void> => {
      const identity = await parts.identities.refresh(tx, request.actor.identity);
      const place = await parts.channels.find(tx, request.owner, request.channel);
      if (!place) throw forbidden("The owner has been removed meanwhile.");
      const packageName = parseFileName(request.fileName)?.name;
      const target = { kind: "channel", ...place, ...(packageName === undefined ? {} : { packageName }) } as const;
      const decision = await parts.access.may(identity, "delete", target, tx);
      if (!decision.allowed) throw forbidden(decision.why);
      const channel = await parts.channels.ensure(tx, place);
      const file = { channel, section: request.subdir, fileName: request.fileName };
      await parts.packages.removeFile(tx, file, { ...request.actor, identity });
    };
    await parts.database.transact(change, { evenIfFull: true });
    parts.events.fileDeleted(channelLabel(request.owner, request.channel), `${request.subdir}/${request.fileName}`);
  };
}
