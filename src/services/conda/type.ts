// The conda package type.

import { channelNameProblem, isReservedName } from "../../modules/conda/channel-name.ts";
import { storedMetadata } from "../../modules/conda/stored.ts";
import { isSubdir } from "../../modules/conda/subdir.ts";
import { urlBelow } from "../../modules/http/url.ts";
import { channelUrl, DEFAULT_TYPE } from "../channel-ref.ts";
import type { PackageType } from "../package-type.ts";
import { condaPolicy } from "./policy.ts";

export const condaType: PackageType = {
  name: DEFAULT_TYPE,
  channelNameProblem: (name) => channelNameProblem(name),
  isReservedOwner: (name) => isReservedName(name, "owner"),
  isSection: isSubdir,
  fileMetadata: storedMetadata,
  policy: condaPolicy,
  hasDocuments: true,
  hints: ({ publicUrl, owner, channel }) => [
    `curl --user ${owner} --upload-file PACKAGE.conda ${urlBelow(publicUrl, "api", "packages", owner, DEFAULT_TYPE, channel)}/`,
    `conda install --channel ${channelUrl(publicUrl, owner, channel)} PACKAGE`,
  ],
};
