// Brings the segments of a layout up to the channel's revision.

import type { IndexScope } from "../../../models/index/scope.ts";
import { buildSegments } from "../segments/build.ts";
import type { Layout } from "../segments/layout.ts";
import { updateSegments } from "../segments/update.ts";
import { catchUp } from "./driver.ts";
import type { CatchUpParts, Progress } from "./parts.ts";

const MAX_NAMES = 2000;

export async function catchUpSegments(parts: CatchUpParts, scope: IndexScope, layout: Layout): Promise<Progress> {
  return await catchUp(parts, scope, {
    maxNames: MAX_NAMES,
    build: async (cursor) => ({ cursor: await buildSegments(parts, scope, layout, cursor), isWaiting: false }),
    update: async (names, update) => ({
      cursor: await updateSegments(parts, scope, layout, { names, update }),
      isWaiting: false,
    }),
  });
}
