// The generic package type: any files, by package, version and file name. Each owner has one unnamed channel of it.

import { z } from "zod";
import { isGenericSection } from "../../modules/generic/names.ts";
import { urlBelow } from "../../modules/http/url.ts";
import type { PackageType } from "../package-type.ts";

export const GENERIC = "generic";

export const genericType: PackageType = {
  name: GENERIC,
  channelNameProblem: (name) => (name === "" ? undefined : `a generic channel has no name: write ${GENERIC}:OWNER/-`),
  isReservedOwner: () => false,
  isSection: isGenericSection,
  fileMetadata: z.strictObject({}).readonly(),
  policy: z.strictObject({}).readonly(),
  hasDocuments: false,
  hints: ({ publicUrl, owner }) => [
    `curl --user ${owner} --upload-file FILE ${urlBelow(publicUrl, "api", "packages", owner, GENERIC, "NAME", "VERSION", "FILE")}`,
  ],
};
