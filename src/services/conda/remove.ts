// Deleting one file of a conda channel.

import { parseFileName } from "../../modules/conda/file-name.ts";
import type { Actor } from "../actor.ts";
import type { Removing } from "../removing.ts";

export type RemoveRequest = {
  readonly actor: Actor;
  readonly owner: string;
  readonly channel: string;
  readonly subdir: string;
  readonly fileName: string;
};

/** Errors: `unauthenticated`, `forbidden`, `not-found`. */
export type Remove = (request: RemoveRequest) => Promise<void>;

export function createRemove({ removing }: { readonly removing: Removing }): Remove {
  return ({ actor, owner, channel, subdir, fileName }) => {
    // An invalid file name counts as a package name, so that a token bound to packages is always checked.
    const packageName = parseFileName(fileName)?.name ?? fileName;
    return removing({ actor, channel: { owner, channel }, packageName, section: subdir, fileName });
  };
}
