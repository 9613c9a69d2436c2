// `repodata`: the index of a large unchanged channel, compared with nginx serving the same file.

import { type Bench, GB, type Measurement } from "./bench.ts";
import { seedChannel } from "./channel-seed.ts";
import { hasPeers } from "./peers.ts";
import type { Row } from "./report.ts";
import { withServer } from "./server.ts";
import { unchangedRows } from "./unchanged.ts";

/** About 5 MB as clients fetch it. */
const RECORDS = 60_000;

export const repodata: Measurement = { name: "repodata", space: 2 * GB, measure };

async function measure(bench: Bench): Promise<readonly Row[]> {
  if (!hasPeers(bench, "repodata")) return [];
  return await withServer(
    bench,
    ({ url }) =>
      unchangedRows(bench, {
        url: `${url}/admin/main/linux-64/repodata.json.zst`,
        seconds: 4,
        bodiless: true,
        ratio: 0.7,
      }),
    (dataDir) => seedChannel(dataDir, RECORDS),
  );
}
