// The conda package type.

import { CHANNEL_TYPE } from "../channel-place.ts";
import type { PackageType } from "../package-type.ts";

export const condaType: PackageType = {
  name: CHANNEL_TYPE,
  hints: ({ publicUrl, owner, channel }) => [
    `curl --user ${owner} --upload-file PACKAGE.conda ${publicUrl}/api/packages/${owner}/conda/${channel}/`,
    `conda install --channel ${publicUrl}/${owner}/${channel} PACKAGE`,
  ],
};
