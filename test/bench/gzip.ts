// `gzip`: a `repodata.json` for clients that accept gzip, compared with nginx serving the bytes compressed in advance.

import { type Bench, byTurns, GB, MB, type Measurement } from "./bench.ts";
import { seedChannel } from "./channel-seed.ts";
import { getAgain, hasPeers, withNginx } from "./peers.ts";
import type { Row } from "./report.ts";
import { withServer } from "./server.ts";

/** Some 3 MB, close to the limit for gzip. */
const RECORDS = 6000;
const HEADERS = ["Accept-Encoding: gzip"];

export const gzip: Measurement = { name: "gzip", space: GB, measure };

async function measure(bench: Bench): Promise<readonly Row[]> {
  if (!hasPeers(bench, "gzip")) return [];
  return await withServer(bench, rowsOf.bind(undefined, bench), (dataDir) => seedChannel(dataDir, RECORDS));
}

async function rowsOf(
  bench: Bench,
  { url, peakMemory }: { readonly url: string; peakMemory(): Promise<number | undefined> },
): Promise<readonly Row[]> {
  const address = `${url}/admin/main/linux-64/repodata.json`;
  const text = await (await fetch(address, { headers: { "accept-encoding": "identity" } })).bytes();
  const answer = await fetch(address, { headers: { "accept-encoding": "gzip" }, decompress: false });
  if (answer.headers.get("content-encoding") !== "gzip") throw new Error(`${text.length} bytes were not packed`);
  const files = { "repodata.json": text, "repodata.json.gz": await answer.bytes() };
  return await withNginx(bench, files, async (nginx) => {
    const get = (from: string) => getAgain(bench, from, { headers: HEADERS });
    const { a, b } = await byTurns(
      bench.runs,
      () => get(address),
      () => get(`${nginx}/repodata.json`),
    );
    const what = `GET ${(text.length / MB).toFixed(1)} MB, gzip`;
    const peak = await peakMemory();
    return [
      {
        what,
        unit: "requests/s",
        samples: a.map(({ requestsPerSecond }) => requestsPerSecond),
        peer: { name: "nginx gzip_static", samples: b.map(({ requestsPerSecond }) => requestsPerSecond) },
        target: { of: "ratio", is: "at least", number: 0.5 },
      },
      { what: `${what}: peak memory`, unit: "MB", samples: peak === undefined ? [] : [peak / MB] },
    ];
  });
}
