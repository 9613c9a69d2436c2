// What a package type tells the rest of the server about itself. Shared code asks the type, and never which one it is.

import { invalidArgument } from "../errors.ts";
import type { PolicySchema } from "./channel-policy.ts";

export type PackageType = {
  /** As it stands in URLs and in the `channel` table. */
  readonly name: string;
  /** What is wrong with the name of a channel (`""` is the unnamed one); undefined when nothing is. */
  channelNameProblem(name: string): string | undefined;
  /** Names of owners that would be taken for another part of its addresses. */
  isReservedOwner(name: string): boolean;
  /** What a channel's owner may choose. */
  readonly policy: PolicySchema;
  /** Whether its channels have documents of an index. */
  readonly hasDocuments: boolean;
  /** Ready-to-paste lines that publish to and install from a channel. */
  hints(place: HintTarget): readonly string[];
};

export type HintTarget = {
  readonly publicUrl: string;
  readonly owner: string;
  readonly channel: string;
};

/** The types of this server, by name. Errors: `invalid-argument` for one that there is not. */
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
      throw invalidArgument(`There is no package type ${JSON.stringify(name.slice(0, 80))}; there are ${known}.`);
    },
  };
}
