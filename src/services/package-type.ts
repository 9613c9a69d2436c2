// The interface of a package type. Shared code calls it and never checks which type it is.

import type { z } from "zod";
import { invalidArgument } from "../errors.ts";
import type { PolicySchema } from "./channel-policy.ts";

export type PackageType = {
  /** The name in URLs and in the `channel` table. */
  readonly name: string;
  /** Why a channel name is invalid (`""` is the unnamed channel); undefined for a valid one. */
  channelNameProblem(name: string): string | undefined;
  /** Whether an owner of this name would be ambiguous with another part of the type's URLs. */
  isReservedOwner(name: string): boolean;
  /** Whether a file can have this section. */
  isSection(section: string): boolean;
  /** What is stored beside the record of a file, parsed. A version has no metadata of its own. */
  readonly fileMetadata: z.ZodType;
  /** Settings that a channel's owner can choose. */
  readonly policy: PolicySchema;
  /** Whether its channels have index documents. */
  readonly hasDocuments: boolean;
  /** Commands to paste that publish to and install from a channel. */
  hints(target: HintTarget): readonly string[];
};

export type HintTarget = {
  readonly publicUrl: string;
  readonly owner: string;
  readonly channel: string;
};

/** The package types of this server. Errors of `named()`: `invalid-argument` for an unknown type. */
export type PackageTypes = {
  readonly all: readonly PackageType[];
  named(name: string): PackageType;
};

export function createPackageTypes(all: readonly PackageType[]): PackageTypes {
  return {
    all,
    named: (name) => {
      const type = all.find((one) => one.name === name);
      if (type) return type;
      const known = all.map((one) => one.name).join(", ");
      throw invalidArgument(`Unknown package type ${JSON.stringify(name.slice(0, 80))}. Valid types: ${known}.`);
    },
  };
}
