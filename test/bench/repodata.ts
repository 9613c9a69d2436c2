// `repodata`: the index of a large channel that does not change, against nginx serving the same file.

import { z } from "zod";

import type { BodilessLoad } from "./bodiless-load.ts";
import { type Bench, byTurns, GB, MB, type Measurement } from "./bench.ts";
import { seedChannel } from "./channel-seed.ts";
import { getAgain, hasPeers, withNginx } from "./peers.ts";
import { runScript } from "./processes.ts";
import type { Row } from "./report.ts";
import { withServer } from "./server.ts";

const FILE = "repodata.json.zst";
/** Some 60,000 records: about 5 MB as clients fetch it. */
const SHAPE = { names: 3000, versionsPerName: 4, buildsPerVersion: 5 };
const TARGET = { of: "ratio", is: "at least", number: 0.7 } as const;
const bodilessResult = z.object({ requests: z.number(), seconds: z.number() });

export const repodata: Measurement = { name: "repodata", space: 2 * GB, measure };

async function measure(bench: Bench): Promise<readonly Row[]> {
  if (!hasPeers(bench, "repodata")) return [];
  const fill = async (dataDir: string): Promise<void> => void (await seedChannel(dataDir, SHAPE));
  return await withServer(bench, ({ url }) => measureReads(bench, `${url}/admin/main/linux-64/${FILE}`), fill);
}

async function measureReads(bench: Bench, ours: string): Promise<readonly Row[]> {
  const document = await (await fetch(ours)).bytes();
  return await withNginx(bench, { [FILE]: document }, async (nginx) => {
    const peer = `${nginx}/${FILE}`;
    const whole = await byTurns(
      bench.runs,
      () => getAgain(bench, ours),
      () => getAgain(bench, peer),
    );
    const [ourTag, peerTag] = [await etagOf(ours), await etagOf(peer)];
    const unchanged = (url: string, etag: string) => () => answerAgain(url, "GET", { etag, status: 304 });
    const notModified = await byTurns(bench.runs, unchanged(ours, ourTag), unchanged(peer, peerTag));
    const head = (url: string) => () => answerAgain(url, "HEAD", { status: 200 });
    const heads = await byTurns(bench.runs, head(ours), head(peer));
    const what = `GET ${(document.byteLength / MB).toFixed(1)} MB`;
    const bytes = (runs: typeof whole.a): number[] => runs.map(({ bytesPerSecond }) => bytesPerSecond / MB);
    const requests = (runs: typeof whole.a): number[] => runs.map(({ requestsPerSecond }) => requestsPerSecond);
    return [
      rowOf(what, "requests/s", requests(whole.a), requests(whole.b)),
      rowOf(what, "MB/s", bytes(whole.a), bytes(whole.b)),
      rowOf("GET, 304", "requests/s", notModified.a, notModified.b),
      rowOf("HEAD", "requests/s", heads.a, heads.b),
    ];
  });
}

function rowOf(what: string, unit: string, samples: readonly number[], peers: readonly number[]): Row {
  return { what, unit, samples, peer: { name: "nginx", samples: peers }, target: TARGET };
}

async function etagOf(url: string): Promise<string> {
  const answer = await fetch(url, { method: "HEAD" });
  const etag = answer.headers.get("etag");
  if (!answer.ok || etag === null) throw new Error(`${url} has no entity tag`);
  return etag;
}

/** Requests per second whose answers have no body; wrk waits for one after a HEAD. */
async function answerAgain(
  url: string,
  method: "GET" | "HEAD",
  { etag, status }: { etag?: string; status: number },
): Promise<number> {
  const { hostname, port, host, pathname } = new URL(url);
  const condition = etag === undefined ? "" : `If-None-Match: ${etag}\r\n`;
  const load: BodilessLoad = {
    host: hostname,
    port: Number(port),
    request: `${method} ${pathname} HTTP/1.1\r\nHost: ${host}\r\n${condition}\r\n`,
    expected: `HTTP/1.1 ${status} `,
    connections: 16,
    seconds: 4,
  };
  const { requests, seconds } = bodilessResult.parse(await runScript(import.meta.resolve("./bodiless-load.ts"), load));
  return requests / seconds;
}
