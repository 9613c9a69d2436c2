// Deleting a generic file, or a version with all its files.

import { foldedName, genericSection } from "../../modules/generic/names.ts";
import type { Actor } from "../actor.ts";
import type { Removing } from "../removing.ts";
import { GENERIC } from "./type.ts";

export type GenericRemoveRequest = {
  readonly actor: Actor;
  readonly owner: string;
  readonly name: string;
  readonly version: string;
  /** Undefined deletes the complete version. */
  readonly fileName: string | undefined;
};

/** Errors: those of removing. */
export type GenericRemove = (request: GenericRemoveRequest) => Promise<void>;

export function createGenericRemove({ removing }: { readonly removing: Removing }): GenericRemove {
  return ({ actor, owner, name, version, fileName }) =>
    removing({
      actor,
      channel: { type: GENERIC, owner, channel: "" },
      packageName: foldedName(name),
      section: genericSection({ name, version }),
      fileName,
    });
}
